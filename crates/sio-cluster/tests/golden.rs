//! Messages as the published packages of Node and Python wrote them, recorded by
//! `tests/vectors/record.sh`.

mod golden {
    mod adapter;
    mod classic;
    mod python;

    use serde_json::Value;

    /// A message that was recorded.
    pub(crate) struct Vector {
        pub(crate) what: String,
        pub(crate) channel: String,
        pub(crate) body: Vec<u8>,
    }

    pub(crate) fn vectors(text: &str) -> Vec<Vector> {
        let list: Vec<Value> = serde_json::from_str(text).expect("a list");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        list.iter()
            .filter(|vector| vector["body"].is_string())
            .map(|vector| Vector {
                what: text(&vector["what"]),
                channel: text(&vector["channel"]),
                body: bytes(&text(&vector["body"])),
            })
            .collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |byte: u8| (byte as char).to_digit(16).expect("a digit") as u8;
        hex.as_bytes()
            .chunks(2)
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect()
    }

    pub(crate) fn json(text: &str) -> Vec<sio_packet::Value> {
        serde_json::from_str(text).expect("a list")
    }
}
