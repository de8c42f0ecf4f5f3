//! What the terms of permessage-deflate are worth: bytes on the wire and bytes in memory for a chat
//! of short messages, under each of them. `cargo run -p ws-deflate --example terms`.

use ws_deflate::{Budget, Deflate, DeflateConfig, Encoding, Inflate, InflateConfig, Pool};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let messages: Vec<String> = (0..1000)
        .map(|i| {
            format!(
                r#"42["message",{{"room":"lobby","from":"user {}","id":{i}}}]"#,
                i % 17
            )
        })
        .collect();
    let plain: usize = messages.iter().map(String::len).sum();
    println!(
        "{} messages of {} bytes on average\n",
        messages.len(),
        plain / messages.len()
    );
    println!("takeover  window  level   on the wire   kept by a connection");

    for context_takeover in [false, true] {
        for (window_bits, level) in [(9, 2), (15, 1), (15, 2), (15, 6), (15, 9)] {
            let mut pool = Pool::new(Budget::new(usize::MAX));
            let config = DeflateConfig {
                context_takeover,
                window_bits,
                level,
                threshold: 0,
            };
            let mut deflate = Deflate::new(config);
            let mut inflate = Inflate::new(
                InflateConfig {
                    context_takeover,
                    window_bits,
                },
                &pool,
            )?;

            let mut wire = 0;
            let (mut payload, mut back) = (Vec::new(), Vec::new());
            for message in &messages {
                payload.clear();
                back.clear();
                match deflate.deflate(&mut pool, message.as_bytes(), &mut payload) {
                    Encoding::Plain => wire += message.len(),
                    Encoding::Deflated => {
                        wire += payload.len();
                        inflate.inflate(&mut pool, &payload, 1_000_000, &mut back)?;
                        assert_eq!(back, message.as_bytes());
                    }
                }
            }
            let (share, kept) = (100 * wire / plain, pool.budget().used());
            println!(
                "{context_takeover:8}  {window_bits:6}  {level:5}  {share:10} %  {kept:12} bytes"
            );
        }
    }
    Ok(())
}
