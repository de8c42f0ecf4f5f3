//! What the compiler says to the mistakes people make: a program each in `tests/mistakes`, beside it the
//! message, which is read in reviews like any other text of ours.
//!
//! The programs are given to rustc alone, with the library that this test was linked to: a few seconds
//! for all of them and nothing built twice, where a tool that lets cargo do it would build every
//! dependency once more.
//!
//! How it is decided: with the compiler of [`COMPILER`], which CI has, the whole message counts, without
//! what depends on other crates and on line numbers of ours. With any other, since compilers change their
//! words: that the program is refused with the same error codes, and that our own words
//! (`#[diagnostic::on_unimplemented]`, `#[must_use]`) are there. After a change of words or of compiler,
//! `WRITE_MESSAGES=1 cargo test -p sio-server --test mistakes` writes the messages anew, to be read.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
    time::SystemTime,
};

/// The compiler whose words are kept.
const COMPILER: &str = "rustc 1.95.";

/// What we have written ourselves of the messages, without its places.
const OURS: [&str; 9] = [
    "a namespace does nothing until it is mounted",
    "a room is named by a string, several by an array, a slice or a vector of strings",
    "any other ack type is read as itself",
    "names no room",
    "return `Ack(value)`, or a `Result` of it whose error can be displayed",
    "the answer of this call cannot be read as",
    "the handler of this event returns",
    "this event has the ack type",
    "this name is reserved; there are on_connect, on_disconnect and on_disconnecting",
];

#[test]
fn each_mistake_is_told_as_its_message_says() {
    let compiler = Compiler::find();
    let right = compiler.compile(&folder().join("right.rs"));
    assert_eq!(right, "", "the program without a mistake has to compile");

    let mut mistakes: Vec<_> = fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .filter(|path| !path.ends_with("right.rs"))
        .collect();
    assert!(mistakes.len() >= 10, "the mistakes are there");

    let left = Mutex::new(&mut mistakes);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some(mistake) = left.lock().unwrap().pop() else {
                        return;
                    };
                    if let Err(problem) = compiler.check(&mistake) {
                        wrong.lock().unwrap().push(problem);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

struct Compiler {
    program: PathBuf,
    /// Whether it is the one whose words are kept.
    is_ours: bool,
    /// Where cargo has put the libraries.
    deps: PathBuf,
    /// The library that the programs use.
    server: PathBuf,
}

impl Compiler {
    fn find() -> Self {
        let program = env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
        let version = Command::new(&program).arg("-V").output();
        let version = version.expect("rustc says its version").stdout;
        let version = String::from_utf8_lossy(&version);
        let is_ours = version.starts_with(COMPILER);
        if !is_ours {
            println!("{version}: only error codes and our own words count, see the first lines");
        }
        let test = env::current_exe().expect("a test has a path");
        let deps = test.parent().expect("it lies in a folder").to_owned();
        // Cargo has just made sure that the one this test is linked to is up to date, so the newest is.
        let server = fs::read_dir(&deps)
            .expect("the folder can be read")
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("libsio_server-") && name.ends_with(".rlib")
            })
            .max_by_key(|path| modified(path))
            .expect("the library lies beside its tests");
        Self {
            program,
            is_ours,
            deps,
            server,
        }
    }

    fn check(&self, mistake: &Path) -> Result<(), String> {
        let name = mistake.file_stem().unwrap_or_default().to_string_lossy();
        let said = self.compile(mistake);
        if said.is_empty() {
            return Err(format!("{name} compiles"));
        }
        let kept = mistake.with_extension("stderr");
        if env::var_os("WRITE_MESSAGES").is_some() {
            fs::write(&kept, &said).expect("the message can be written");
            return Ok(());
        }
        let expected = fs::read_to_string(&kept).unwrap_or_default();
        let same = if self.is_ours {
            said == expected
        } else {
            says_as_much(&said, &expected)
        };
        match same {
            true => Ok(()),
            false => Err(format!(
                "{name}: the compiler says\n\n{said}\nand should say\n\n{expected}"
            )),
        }
    }

    /// What the compiler says, without what is not ours to say.
    fn compile(&self, program: &Path) -> String {
        let (folder, name) = (program.parent(), program.file_name());
        let output = Command::new(&self.program)
            .current_dir(folder.expect("it lies in a folder"))
            .args(["--edition=2024", "--crate-type=bin", "--emit=metadata"])
            .args(["--error-format=human", "--color=never"])
            .arg("--out-dir")
            .arg(env!("CARGO_TARGET_TMPDIR"))
            .arg("--extern")
            .arg(format!("sio_server={}", self.server.display()))
            .arg(format!("-Ldependency={}", self.deps.display()))
            .arg(name.expect("it is a file"))
            .output()
            .expect("rustc can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            assert_eq!(said, "", "{} compiles, with warnings", program.display());
        }
        plain(&said)
    }
}

/// Whether another compiler refuses a program for the same reasons, with our words.
fn says_as_much(said: &str, expected: &str) -> bool {
    let mut ours = OURS.iter().filter(|words| expected.contains(**words));
    codes(said) == codes(expected) && ours.all(|words| said.contains(words))
}

#[test]
fn another_compiler_may_use_other_words_but_not_for_ours_and_not_for_another_error() {
    let kept = "error[E0277]: `&u64` names no room\n  |\n  = help: the trait is not implemented\n";
    for (said, is_as_much) in [
        (kept, true),
        (
            "error[E0277]: `&u64` names no room\n  = help: implement it\n",
            true,
        ),
        ("error[E0277]: the trait bound is not satisfied\n", false),
        ("error[E0308]: `&u64` names no room\n", false),
        (
            "error[E0277]: `&u64` names no room\nerror[E0282]: type annotations\n",
            false,
        ),
        ("error: `&u64` names no room\n", false),
    ] {
        assert_eq!(says_as_much(said, kept), is_as_much, "{said}");
    }
}

/// Without lists of what other crates implement, places in the standard library, lines of our sources and
/// the compiler's closing words.
fn plain(said: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut in_list = false;
    for line in said.lines() {
        let is_item = line.starts_with("            ");
        if in_list && (is_item || line.trim_start().starts_with("and ")) {
            continue;
        }
        in_list = line.contains("types implement trait `serde");
        let closing = [
            "error: aborting",
            "For more information",
            "Some errors have detailed",
        ];
        if closing.iter().any(|start| line.starts_with(start)) || line.contains("/rustc/") {
            continue;
        }
        match line.find("sio-server/src/") {
            Some(at) => {
                let arrow = line.len() - line.trim_start_matches([' ', '-', '>', ':']).len();
                let file = line[at..].split(':').next().unwrap_or_default();
                lines.push(format!("{}{file}", &line[..arrow]));
            }
            None => lines.push(line.trim_end().to_owned()),
        }
    }
    let text = lines.join("\n");
    let text = text.trim_end();
    if text.is_empty() {
        String::new()
    } else {
        format!("{text}\n")
    }
}

/// The codes of the errors, such as `E0277`.
fn codes(said: &str) -> BTreeSet<&str> {
    said.lines()
        .filter_map(|line| line.strip_prefix("error[")?.split(']').next())
        .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes")
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
