//! The contract as a document of [AsyncAPI 3.0](https://www.asyncapi.com/docs/reference/specification/v3.0.0).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Argument, Contract, Described, Look, LookAtChannel};

pub(super) fn document(contract: &Contract, look: &Look) -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    for channel in &look.channels {
        let id = unused(&channels, channel_id(&channel.namespace));
        let value = self::channel(channel, &id, &mut operations);
        channels.insert(id, value);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": contract.title,
            "version": contract.version,
            "description": "Events of Socket.IO. A channel is a namespace, a message's payload the list \
                            of the event's arguments, a reply the arguments of its acknowledgement.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "schemas": look.definitions },
    })
}

fn channel(channel: &LookAtChannel, id: &str, operations: &mut Map<String, Value>) -> Value {
    let mut messages = Map::new();
    let sides = [("receive", &channel.hears), ("send", &channel.says)];
    for (action, events) in sides {
        for event in events {
            let message = add(
                &mut messages,
                format!("{action}-{}", word(event.name)),
                event,
            );
            let reference =
                |message: &str| json!({ "$ref": format!("#/channels/{id}/messages/{message}") });
            let mut operation = json!({
                "action": action,
                "channel": { "$ref": format!("#/channels/{id}") },
                "messages": [reference(&message)],
            });
            if let Some(answer) = &event.answer {
                let ack = unused(&messages, format!("{message}-ack"));
                let title = format!("the answer to {}", event.name);
                messages.insert(
                    ack.clone(),
                    json!({ "title": title, "payload": list(answer) }),
                );
                operation["reply"] = json!({
                    "channel": { "$ref": format!("#/channels/{id}") },
                    "messages": [reference(&ack)],
                });
            }
            operations.insert(unused(operations, format!("{id}-{message}")), operation);
        }
    }
    let mut value = json!({ "address": channel.namespace, "messages": messages });
    let parameters: Map<_, _> = places(&channel.namespace)
        .map(|place| (place.to_owned(), json!({})))
        .collect();
    if !parameters.is_empty() {
        value["parameters"] = Value::Object(parameters);
    }
    value
}

fn add(messages: &mut Map<String, Value>, id: String, event: &Described) -> String {
    let id = unused(messages, id);
    let message = json!({ "name": event.name, "payload": list(&event.arguments) });
    messages.insert(id.clone(), message);
    id
}

/// The schema of a list of arguments.
fn list(arguments: &[Argument]) -> Value {
    if arguments.is_empty() {
        return json!({ "type": "array", "maxItems": 0 });
    }
    let schemas: Vec<_> = arguments.iter().map(|argument| &argument.schema).collect();
    let least = arguments
        .iter()
        .filter(|argument| !argument.optional)
        .count();
    json!({
        "type": "array",
        "items": schemas,
        "minItems": least,
        "maxItems": arguments.len(),
    })
}

fn channel_id(namespace: &str) -> String {
    match word(namespace.trim_start_matches('/')) {
        root if root.is_empty() => "root".into(),
        id => id,
    }
}

/// A name as ids may be: letters, digits, `-` and `_`.
fn word(name: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    name.trim_matches(['{', '}']).chars().map(keep).collect()
}

/// An id that is not taken yet: two names may be the same word.
fn unused(taken: &Map<String, Value>, id: String) -> String {
    if !taken.contains_key(&id) {
        return id;
    }
    let numbered = (2_u64..).map(|n| format!("{id}-{n}"));
    let mut free = numbered.filter(|id| !taken.contains_key(id));
    free.next().expect("numbers do not end")
}

/// The places of a name by pattern: `id` of `/game-{id}`.
fn places(namespace: &str) -> impl Iterator<Item = &str> {
    let after = namespace.split('{').skip(1);
    let places: BTreeSet<_> = after
        .filter_map(|rest| rest.split_once('}'))
        .map(|(place, _)| place)
        .collect();
    places.into_iter()
}
