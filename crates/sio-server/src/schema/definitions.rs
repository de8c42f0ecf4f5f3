//! The schemas of a contract's types, each definition once, or twice where reading and writing differ.
//!
//! What the server hears is read by serde, what it says is written by it, and a type may be one thing to
//! the first and another to the second. So there are two generators; in the end those definitions that
//! differ get another name where they are heard.

use std::collections::{BTreeMap, BTreeSet};

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use super::{Argument, Described, Entry, Look, LookAtChannel};

/// Where the definitions are in the document of AsyncAPI.
const PATH: &str = "#/components/schemas/";

pub(super) struct Definitions {
    reads: SchemaGenerator,
    writes: SchemaGenerator,
}

/// The name of the definition that a schema is a reference to.
pub(super) fn referred(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix(PATH)
}

impl Definitions {
    pub(super) fn new() -> Self {
        // Draft 7 is what AsyncAPI's own schemas are a superset of.
        let settings = SchemaSettings::draft07().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self {
            reads: settings.clone().for_deserialize().into_generator(),
            writes: settings.for_serialize().into_generator(),
        }
    }

    /// An event that the server hears; its answer is what the server says.
    pub(super) fn heard(&mut self, entry: &Entry) -> Described {
        Described {
            name: entry.name,
            arguments: arguments(&mut self.reads, entry.payload, Side::Reads),
            answer: entry
                .answer
                .map(|answer| arguments(&mut self.writes, answer, Side::Writes)),
        }
    }

    /// An event that the server says; its answer is what the server hears.
    pub(super) fn said(&mut self, entry: &Entry) -> Described {
        Described {
            name: entry.name,
            arguments: arguments(&mut self.writes, entry.payload, Side::Writes),
            answer: entry
                .answer
                .map(|answer| arguments(&mut self.reads, answer, Side::Reads)),
        }
    }

    /// The definitions of both in one, and the channels with the names they have now.
    pub(super) fn finish(mut self, mut channels: Vec<LookAtChannel>) -> Look {
        let mut definitions = self.writes.take_definitions(true);
        let mut reads = self.reads.take_definitions(true);
        let names = names_of_their_own(&definitions, &reads);
        for schema in reads.values_mut() {
            rename(schema, &names);
        }
        for (name, schema) in reads {
            let name = names.get(&name).cloned().unwrap_or(name);
            definitions.entry(name).or_insert(schema);
        }
        for channel in &mut channels {
            let heard = channel.hears.iter_mut().flat_map(|e| &mut e.arguments);
            let answers = channel.says.iter_mut().filter_map(|e| e.answer.as_mut());
            for argument in heard.chain(answers.flatten()) {
                rename(&mut argument.schema, &names);
            }
        }
        Look {
            definitions,
            channels,
        }
    }
}

/// Whether serde reads or writes.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Reads,
    Writes,
}

/// The arguments that a payload stands for: `sio-packet`'s rule, from the schema.
fn arguments(
    generator: &mut SchemaGenerator,
    payload: fn(&mut SchemaGenerator) -> Schema,
    side: Side,
) -> Vec<Argument> {
    let mut schema = payload(generator);
    for transform in generator.transforms_mut() {
        transform.transform(&mut schema);
    }
    let schema = schema.to_value();
    let target = referred(&schema).and_then(|name| generator.definitions().get(name));
    if has_type(target.unwrap_or(&schema), "null") {
        return Vec::new();
    }
    // A tuple or an array: an array type alone may have any length. What has a name is one argument.
    let several = match (schema.get("items"), schema.get("maxItems")) {
        (Some(Value::Array(items)), _) => Some(items.clone()),
        (Some(item), Some(len)) if schema.get("minItems") == Some(len) => {
            let len = len.as_u64().and_then(|len| usize::try_from(len).ok());
            len.map(|len| vec![item.clone(); len])
        }
        _ => None,
    };
    let mut arguments: Vec<_> = several
        .unwrap_or_else(|| vec![schema])
        .into_iter()
        .map(|schema| Argument {
            schema,
            optional: false,
        })
        .collect();
    // `Option`s at the end may be missing when they are read; they are written as null.
    if side == Side::Reads {
        for argument in arguments.iter_mut().rev() {
            if !may_be_null(&argument.schema) {
                break;
            }
            argument.optional = true;
        }
    }
    arguments
}

fn has_type(schema: &Value, name: &str) -> bool {
    schema.get("type").is_some_and(|of| of == name)
}

fn may_be_null(schema: &Value) -> bool {
    let among_types = schema["type"]
        .as_array()
        .is_some_and(|types| types.iter().any(|of| of == "null"));
    let among_schemas = schema["anyOf"]
        .as_array()
        .is_some_and(|of| of.iter().any(|schema| has_type(schema, "null")));
    among_types || among_schemas
}

/// New names for the definitions that are read in another way than they are written, or are made of such.
fn names_of_their_own(
    writes: &Map<String, Value>,
    reads: &Map<String, Value>,
) -> BTreeMap<String, String> {
    let mut differ: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = differ.len();
        for (name, schema) in reads {
            let other = writes.get(name);
            if other.is_some_and(|other| other != schema || refers_to(schema, &differ)) {
                differ.insert(name);
            }
        }
        if differ.len() == before {
            break;
        }
    }
    let mut names = BTreeMap::new();
    for name in differ {
        let mut new = format!("{name}Input");
        while writes.contains_key(&new) || reads.contains_key(&new) {
            new.push_str("Input");
        }
        names.insert(name.to_owned(), new);
    }
    names
}

fn refers_to(schema: &Value, names: &BTreeSet<&str>) -> bool {
    if referred(schema).is_some_and(|name| names.contains(name)) {
        return true;
    }
    match schema {
        Value::Array(items) => items.iter().any(|item| refers_to(item, names)),
        Value::Object(object) => object.values().any(|value| refers_to(value, names)),
        _ => false,
    }
}

fn rename(schema: &mut Value, names: &BTreeMap<String, String>) {
    if let Some(new) = referred(schema).and_then(|name| names.get(name)) {
        schema["$ref"] = Value::String(format!("{PATH}{new}"));
        return;
    }
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        Value::Object(object) => object.values_mut().for_each(|value| rename(value, names)),
        _ => {}
    }
}
