//! The contract as TypeScript: the interfaces that `Socket` of socket.io-client is given, and the types of
//! the payloads, printed from their JSON Schemas.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{Argument, Contract, Described, Look, definitions::referred};

pub(super) fn print(contract: &Contract, look: &Look) -> String {
    let (title, version) = (one_line(&contract.title), one_line(&contract.version));
    let mut out = format!(
        "// The events of {title} {version}, written by sio_server::schema. Changes belong into the server.\n"
    );
    for (name, schema) in &look.definitions {
        definition(&mut out, &identifier(name), schema);
    }
    for channel in &look.channels {
        let (prefix, place) = match channel.namespace.as_str() {
            "/" => (String::new(), String::new()),
            name => (pascal(name), format!(" in {}", one_line(name))),
        };
        let sides = [
            ("ServerToClientEvents", "says", &channel.says),
            ("ClientToServerEvents", "hears", &channel.hears),
        ];
        for (interface, does, events) in sides {
            let _ = write!(
                out,
                "\n/** What the server {does}{place}. */\nexport interface {prefix}{interface} {{"
            );
            for event in events {
                let _ = write!(out, "\n  {}: {};", key(event.name), function(event));
            }
            out.push_str(if events.is_empty() { "}\n" } else { "\n}\n" });
        }
    }
    out
}

/// A type with a name: an interface where it is a plain object, which editors show better.
fn definition(out: &mut String, name: &str, schema: &Value) {
    out.push('\n');
    comment(out, schema, "");
    let object = schema.as_object();
    match object.filter(|object| is_plain_object(object)) {
        Some(object) => {
            let _ = writeln!(out, "export interface {name} {}", fields(object, ""));
        }
        None => {
            let _ = writeln!(out, "export type {name} = {};", type_of(schema, ""));
        }
    }
}

/// The listener of an event, which takes its arguments and then the ack.
fn function(event: &Described) -> String {
    let last_may_miss = event.answer.is_none();
    let mut parameters = parameters(&event.arguments, "payload", last_may_miss);
    if let Some(answer) = &event.answer {
        let answer = self::parameters(answer, "answer", true).join(", ");
        parameters.push(format!("ack: ({answer}) => void"));
    }
    format!("({}) => void", parameters.join(", "))
}

fn parameters(arguments: &[Argument], name: &str, last_may_miss: bool) -> Vec<String> {
    let parameter = |(at, argument): (usize, &Argument)| {
        let number = match arguments.len() {
            1 => String::new(),
            _ => (at + 1).to_string(),
        };
        let of = type_of(&argument.schema, "");
        // An ack behind it has to be the last, and TypeScript wants what may miss behind all else.
        match (argument.optional, last_may_miss) {
            (true, true) => format!("{name}{number}?: {of}"),
            (true, false) => format!("{name}{number}: {of} | undefined"),
            (false, _) => format!("{name}{number}: {of}"),
        }
    };
    arguments.iter().enumerate().map(parameter).collect()
}

/// The type that a schema describes. What it does not know is `unknown`.
fn type_of(schema: &Value, indent: &str) -> String {
    let Some(object) = schema.as_object() else {
        // `true` is anything, `false` nothing.
        return if schema == &Value::Bool(false) {
            "never"
        } else {
            "unknown"
        }
        .into();
    };
    if let Some(name) = referred(schema) {
        return identifier(name);
    }
    if let Some(value) = object.get("const") {
        return literal(value);
    }
    if let Some(Value::Array(values)) = object.get("enum") {
        return union(values.iter().map(literal));
    }
    // What is said beside each other holds together: fields beside `oneOf` are an enum's common ones.
    let mut all: Vec<String> = Vec::new();
    for one_of in ["oneOf", "anyOf"] {
        if let Some(Value::Array(schemas)) = object.get(one_of) {
            all.push(union(schemas.iter().map(|schema| type_of(schema, indent))));
        }
    }
    if let Some(Value::Array(schemas)) = object.get("allOf") {
        all.extend(schemas.iter().map(|schema| type_of(schema, indent)));
    }
    match object.get("type") {
        Some(Value::String(name)) if all.is_empty() || object.contains_key("properties") => {
            all.push(named(name, object, indent));
        }
        Some(Value::Array(names)) if all.is_empty() => {
            let names = names.iter().filter_map(Value::as_str);
            all.push(union(names.map(|name| named(name, object, indent))));
        }
        None if object.contains_key("properties") => all.push(named("object", object, indent)),
        _ => {}
    }
    match all.len() {
        0 => "unknown".into(),
        1 => all.remove(0),
        _ => {
            let in_brackets = |of: &String| {
                if of.contains(" | ") {
                    format!("({of})")
                } else {
                    of.clone()
                }
            };
            all.iter().map(in_brackets).collect::<Vec<_>>().join(" & ")
        }
    }
}

fn named(name: &str, object: &Map<String, Value>, indent: &str) -> String {
    match name {
        "array" => array(object, indent),
        "boolean" => "boolean".into(),
        "integer" | "number" => "number".into(),
        "null" => "null".into(),
        "object" => fields(object, indent),
        // Bytes come as an ArrayBuffer in browsers and as a Buffer in Node.
        "string" if object.get("format").is_some_and(|of| of == "binary") => {
            "ArrayBuffer | Uint8Array".into()
        }
        "string" => "string".into(),
        _ => "unknown".into(),
    }
}

fn array(object: &Map<String, Value>, indent: &str) -> String {
    match object.get("items") {
        Some(Value::Array(items)) => {
            let items: Vec<_> = items.iter().map(|item| type_of(item, indent)).collect();
            format!("[{}]", items.join(", "))
        }
        Some(item) => {
            let item = type_of(item, indent);
            match item.contains(' ') {
                true => format!("Array<{item}>"),
                false => format!("{item}[]"),
            }
        }
        None => "unknown[]".into(),
    }
}

fn fields(object: &Map<String, Value>, indent: &str) -> String {
    let required = |name: &str| {
        let names = object.get("required").and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|required| required == name))
    };
    // The values of a map: serde's have keys of any kind, which schemars tells apart by patterns.
    let patterns = object.get("patternProperties").and_then(Value::as_object);
    let other = patterns
        .and_then(|patterns| patterns.values().next())
        .or_else(|| {
            object
                .get("additionalProperties")
                .filter(|of| of.is_object())
        });
    let Some(Value::Object(properties)) = object.get("properties") else {
        return match other {
            Some(other) => format!("Record<string, {}>", type_of(other, indent)),
            None => "Record<string, unknown>".into(),
        };
    };
    let inner = format!("{indent}  ");
    let mut out = String::from("{\n");
    for (name, schema) in properties {
        comment(&mut out, schema, &inner);
        let mark = if required(name) { "" } else { "?" };
        let of = type_of(schema, &inner);
        let _ = writeln!(out, "{inner}{}{mark}: {of};", key(name));
    }
    if other.is_some() {
        // The values of the others would have to fit all fields.
        let _ = writeln!(out, "{inner}[other: string]: unknown;");
    }
    let _ = write!(out, "{indent}}}");
    out
}

fn is_plain_object(object: &Map<String, Value>) -> bool {
    let combined = ["oneOf", "anyOf", "allOf", "$ref", "enum", "const"];
    object.contains_key("properties") && !combined.iter().any(|word| object.contains_key(*word))
}

fn union(types: impl Iterator<Item = String>) -> String {
    let mut union: Vec<String> = Vec::new();
    for of in types {
        if !union.contains(&of) {
            union.push(of);
        }
    }
    if union.is_empty() {
        "never".into()
    } else {
        union.join(" | ")
    }
}

/// A value as a type: JSON is TypeScript, but objects and lists are not worth their types.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => "unknown".into(),
        _ => value.to_string(),
    }
}

/// What the Rust documentation of a type or field says.
fn comment(out: &mut String, schema: &Value, indent: &str) {
    let Some(text) = schema.get("description").and_then(Value::as_str) else {
        return;
    };
    let text = text.replace("*/", "* /");
    match text.contains('\n') {
        true => {
            let _ = writeln!(out, "{indent}/**");
            for line in text.lines() {
                let _ = writeln!(out, "{}", format!("{indent} * {line}").trim_end());
            }
            let _ = writeln!(out, "{indent} */");
        }
        false => {
            let _ = writeln!(out, "{indent}/** {text} */");
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ").replace("*/", "* /")
}

/// A field or an event: in quotes where it is no identifier.
fn key(name: &str) -> String {
    if identifier(name) == name {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}

/// A name that TypeScript takes.
fn identifier(name: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' || c == '$' {
            c
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(keep).collect();
    match name.chars().next() {
        Some(first) if !first.is_ascii_digit() => name,
        _ => format!("_{name}"),
    }
}

/// `/game-{id}` as `GameId`.
fn pascal(namespace: &str) -> String {
    let words = namespace.split(|c: char| !c.is_ascii_alphanumeric());
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| {
            first.to_ascii_uppercase().to_string() + chars.as_str()
        })
    };
    identifier(&words.map(capital).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use crate::{
        event::Event,
        schema::{Binary, Contract},
    };

    /// What is drawn.
    #[derive(Deserialize, JsonSchema, Serialize)]
    #[serde(tag = "kind", rename_all = "camelCase")]
    enum Shape {
        Circle { radius: f64 },
        Square { side: f64 },
        Nothing,
    }

    #[derive(Deserialize, JsonSchema, Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Blue,
    }

    #[derive(Deserialize, JsonSchema, Serialize)]
    struct Drawing {
        /// How it is called.
        title: String,
        #[serde(default)]
        shapes: Vec<Shape>,
        colour: Option<Colour>,
        layers: BTreeMap<String, Vec<u8>>,
        #[serde(rename = "made at")]
        made_at: (u32, Option<u32>),
        #[schemars(with = "Binary")]
        picture: bytes::Bytes,
    }

    #[test]
    fn types_are_printed_as_serde_reads_and_writes_them() {
        const DRAW: Event<Drawing, ()> = Event::new("draw");
        let printed = Contract::new("Paint", "1")
            .hears(DRAW)
            .says(DRAW)
            .typescript();
        let expected = r#"// The events of Paint 1, written by sio_server::schema. Changes belong into the server.

export type Colour = "red" | "blue";

export interface Drawing {
  colour: Colour | null;
  layers: Record<string, number[]>;
  "made at": [number, number | null];
  picture: ArrayBuffer | Uint8Array;
  shapes: Shape[];
  /** How it is called. */
  title: string;
}

export interface DrawingInput {
  colour?: Colour | null;
  layers: Record<string, number[]>;
  "made at": [number, number | null];
  picture: ArrayBuffer | Uint8Array;
  shapes?: Shape[];
  /** How it is called. */
  title: string;
}

/** What is drawn. */
export type Shape = {
  kind: "circle";
  radius: number;
} | {
  kind: "square";
  side: number;
} | {
  kind: "nothing";
};

/** What the server says. */
export interface ServerToClientEvents {
  draw: (payload: Drawing, ack: () => void) => void;
}

/** What the server hears. */
export interface ClientToServerEvents {
  draw: (payload: DrawingInput, ack: () => void) => void;
}
"#;
        assert_eq!(printed, expected);
    }

    #[test]
    fn a_tuple_is_several_arguments_and_nothing_is_none() {
        const SAY: Event<(String, Option<u8>)> = Event::new("say");
        const PING: Event<()> = Event::new("ping");
        const MOVE: Event<[f64; 2], (u8, u8)> = Event::new("move it");
        const FIND: Event<Option<str_of::Text>, Vec<u8>> = Event::new("find");
        let contract = Contract::new("", "")
            .hears(SAY)
            .hears(PING)
            .hears(MOVE)
            .hears(FIND);
        let printed = contract.says(SAY).of("/game-{id}").says(PING).typescript();
        let interfaces = printed
            .split_once("/** What the server says. */\n")
            .expect("they are there")
            .1;
        let expected = r#"export interface ServerToClientEvents {
  say: (payload1: string, payload2: number | null) => void;
}

/** What the server hears. */
export interface ClientToServerEvents {
  say: (payload1: string, payload2?: number | null) => void;
  ping: () => void;
  "move it": (payload1: number, payload2: number, ack: (answer1: number, answer2: number) => void) => void;
  find: (payload: Text | null | undefined, ack: (answer: number[]) => void) => void;
}

/** What the server says in /game-{id}. */
export interface GameIdServerToClientEvents {
  ping: () => void;
}

/** What the server hears in /game-{id}. */
export interface GameIdClientToServerEvents {}
"#;
        assert_eq!(interfaces, expected);
    }

    mod str_of {
        use super::*;

        /// A type of one field, which serde reads as that field.
        #[derive(Deserialize, JsonSchema, Serialize)]
        pub(super) struct Text(String);
    }
}
