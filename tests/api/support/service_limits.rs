//! The limits of the service, asserted below the SDK in every test: an emulator accepts some
//! requests that DynamoDB refuses, and a request that DynamoDB refuses is a defect of ours.

use std::collections::HashSet;

use serde_json::{Value, json};

const KB: usize = 1024;
const MB: usize = 1024 * KB;

/// Requests that write several items, with the member that holds them and the most of them.
const PARTS: [(&str, &str, usize); 4] = [
    ("TransactWriteItems", "TransactItems", 100),
    ("TransactGetItems", "TransactItems", 100),
    ("BatchExecuteStatement", "Statements", 25),
    ("BatchWriteItem", "RequestItems", 25),
];

const EXPRESSIONS: [&str; 5] = [
    "ConditionExpression",
    "FilterExpression",
    "KeyConditionExpression",
    "ProjectionExpression",
    "UpdateExpression",
];

/// The attributes that are keys of the table or of an index, and the most bytes of each.
const KEYS: [(&str, usize); 5] =
    [("pk", 2 * KB), ("sk", KB), ("member_pk", 2 * KB), ("change_pk", 2 * KB), ("hour", KB)];

/// Asserts that DynamoDB would not refuse a request for its size.
pub(crate) fn assert_request(operation: &str, request: &Value) {
    if let Some(excess) = excess(operation, request) {
        let text: String = request.to_string().chars().take(2_000).collect();
        panic!("{operation}: {excess}: {text}");
    }
}

/// Asserts that an answer is not larger than those of DynamoDB.
pub(crate) fn assert_answer(operation: &str, answer: &Value) {
    let items = |items: &Value| items.as_array().into_iter().flatten().map(item_size).sum::<usize>();
    let (bytes, limit) = match operation {
        "Query" | "Scan" => (items(&answer["Items"]), MB + 400 * KB),
        "BatchGetItem" => {
            (answer["Responses"].as_object().into_iter().flatten().map(|(_, all)| items(all)).sum(), 16 * MB)
        }
        _ => return,
    };
    assert!(bytes <= limit, "{operation} answers {bytes} bytes, DynamoDB at most {limit}");
}

/// Returns the limit that a request exceeds.
fn excess(operation: &str, request: &Value) -> Option<String> {
    let mut found = None;
    let mut over = |what: &str, is: usize, limit: usize| {
        if is > limit && found.is_none() {
            found = Some(format!("{is} {what}, the limit is {limit}"));
        }
    };
    for (name, list, most) in PARTS {
        if name == operation {
            over("parts of a request", request[list].as_array().map_or(0, Vec::len), most);
        }
    }
    if operation == "BatchGetItem" {
        for (_, table) in request["RequestItems"].as_object().into_iter().flatten() {
            over("keys", table["Keys"].as_array().map_or(0, Vec::len), 100);
        }
    }
    if operation == "TransactWriteItems" {
        over("bytes of a transaction", transaction_size(request), 4 * MB);
    }
    over("bytes of a request", request.to_string().len(), 16 * MB);
    let mut problem = None;
    each_object(request, &mut |object| {
        for text in EXPRESSIONS.iter().filter_map(|name| object[*name].as_str()) {
            over("bytes of an expression", text.len(), 4 * KB);
            over("operators of an expression", operators(text), 300);
            over("operands of IN", operands_of_in(text), 100);
        }
        over("bytes of a statement", object["Statement"].as_str().map_or(0, str::len), 8 * KB);
        let substitutions = ["ExpressionAttributeNames", "ExpressionAttributeValues"];
        let substitutions = substitutions.iter().filter_map(|name| object[*name].as_object());
        let substitutions: Vec<(&String, &Value)> = substitutions.flatten().collect();
        let bytes = |(name, value): &(&String, &Value)| {
            name.len() + value.as_str().map_or_else(|| size(value), str::len)
        };
        over("bytes of names and values", substitutions.iter().map(bytes).sum(), 2 * MB);
        for (name, value) in substitutions {
            over("bytes of a name", name.len().max(value.as_str().map_or(0, str::len)), 255);
        }
        if object["Item"].is_object() {
            over("bytes of an item", item_size(&object["Item"]), 400 * KB);
        }
        for (name, most) in KEYS {
            if let Some(key) = object[name]["S"].as_str() {
                over("bytes of a key", key.len(), most);
                if key.is_empty() {
                    problem = Some(format!("the key {name} is empty"));
                }
            }
        }
        for (name, value) in object.as_object().into_iter().flatten() {
            over("levels of nesting", depth(value), 32);
            // The values of numbers have their digits as text.
            over("digits of a number", value["N"].as_str().filter(|_| name != "N").map_or(0, digits), 38);
        }
    });
    found.or(problem).or_else(|| named_twice(operation, request))
}

fn each_object(value: &Value, visit: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(members) => {
            visit(value);
            members.values().for_each(|member| each_object(member, visit));
        }
        Value::Array(elements) => elements.iter().for_each(|element| each_object(element, visit)),
        _ => {}
    }
}

/// Counts operators and functions. Each begins a comparison, a call or a path of its own.
fn operators(text: &str) -> usize {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_:#.".contains(c)));
    let words = words.filter(|word| ["AND", "OR", "NOT", "BETWEEN", "IN"].contains(word)).count();
    let calls =
        text.split('(').filter(|before| before.ends_with(|c: char| c.is_ascii_lowercase() || c == '_'));
    let calls = calls.count() - usize::from(text.ends_with(|c: char| c.is_ascii_lowercase() || c == '_'));
    let signs = text.replace("<>", "=").replace("<=", "=").replace(">=", "=");
    words + calls + signs.matches(['=', '<', '>', '+', '-']).count()
}

fn operands_of_in(text: &str) -> usize {
    let lists = text.split(" IN ").skip(1);
    lists.map(|list| list.split(')').next().unwrap_or_default().split(',').count()).max().unwrap_or(0)
}

/// Returns the size of the items of a transaction, of those that it only names their keys.
fn transaction_size(request: &Value) -> usize {
    let actions = request["TransactItems"].as_array().into_iter().flatten();
    let actions = actions.flat_map(|action| action.as_object().into_iter().flatten());
    let sizes = actions.map(|(_, action)| {
        let values = action["ExpressionAttributeValues"].as_object();
        item_size(&action["Item"])
            + item_size(&action["Key"])
            + values.into_iter().flatten().map(|(_, value)| size(value)).sum::<usize>()
    });
    sizes.sum()
}

/// Returns a key that a request names twice where DynamoDB accepts one of each.
fn named_twice(operation: &str, request: &Value) -> Option<String> {
    let mut keys: Vec<Vec<&Value>> = Vec::new();
    match operation {
        "TransactWriteItems" => {
            for action in request["TransactItems"].as_array()?.iter().filter_map(Value::as_object) {
                for (kind, action) in action {
                    let key = &action[if kind == "Put" { "Item" } else { "Key" }];
                    keys.push(vec![&action["TableName"], &key["pk"], &key["sk"]]);
                }
            }
        }
        "BatchGetItem" => {
            for (_, table) in request["RequestItems"].as_object()? {
                keys.extend(table["Keys"].as_array()?.iter().map(|key| vec![&key["pk"], &key["sk"]]));
            }
        }
        "BatchExecuteStatement" => {
            for statement in request["Statements"].as_array()? {
                let text = statement["Statement"].as_str()?;
                let parameters = statement["Parameters"].as_array()?;
                let places = text.split('?').map(|part| part.trim_end_matches([' ', '=', ':', '\'']));
                let named: Vec<(&str, &Value)> = places.zip(parameters).collect();
                let of = |name: &str| {
                    let is = |part: &str| part.rsplit([' ', '\'', '{']).next() == Some(name);
                    named.iter().find(|(part, _)| is(part)).map(|(_, value)| *value)
                };
                keys.push(vec![of("pk")?, of("sk")?]);
            }
        }
        _ => return None,
    }
    let mut seen = HashSet::new();
    let twice = keys.into_iter().map(|key| json!(key).to_string()).find(|key| !seen.insert(key.clone()))?;
    Some(format!("the item {twice} is named twice"))
}

fn item_size(item: &Value) -> usize {
    item.as_object().into_iter().flatten().map(|(name, value)| name.len() + size(value)).sum()
}

/// Returns the bytes of a value as DynamoDB counts them.
fn size(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|object| object.iter().next()) else { return 0 };
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => text.len(),
        ("B", Value::String(text)) => text.len() / 4 * 3,
        ("N", Value::String(text)) => digits(text).div_ceil(2) + 1,
        ("L", Value::Array(elements)) => 3 + elements.iter().map(|element| 1 + size(element)).sum::<usize>(),
        ("M", Value::Object(members)) => {
            3 + members.iter().map(|(name, value)| 1 + name.len() + size(value)).sum::<usize>()
        }
        _ => 1,
    }
}

fn depth(value: &Value) -> usize {
    match value.as_object().and_then(|object| object.iter().next()) {
        Some((kind, Value::Array(elements))) if kind == "L" => {
            1 + elements.iter().map(depth).max().unwrap_or(0)
        }
        Some((kind, Value::Object(members))) if kind == "M" => {
            1 + members.values().map(depth).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Returns the number of significant digits.
fn digits(number: &str) -> usize {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    if mantissa.contains('.') { digits.len() } else { digits.trim_end_matches('0').len() }
}

#[test]
fn a_request_that_the_service_would_refuse_is_found() {
    let condition = |text: String| json!({ "Key": {}, "ConditionExpression": text });
    let list = |count: usize| (0..count).map(|n| format!(":x{n}")).collect::<Vec<_>>().join(", ");
    let item = |pk: &str, bytes: usize| json!({ "pk": { "S": pk }, "sk": { "S": "!" }, "x": { "S": "x".repeat(bytes) } });
    let put = |pk: &str, bytes: usize| json!({ "Put": { "TableName": "t", "Item": item(pk, bytes) } });
    let transaction = |count: usize, bytes| json!({ "TransactItems": (0..count).map(|n| put(&n.to_string(), bytes)).collect::<Vec<_>>() });
    let keys = |count: usize| json!({ "RequestItems": { "t": { "Keys": (0..count).map(|n| json!({ "pk": { "S": n.to_string() }, "sk": { "S": "!" } })).collect::<Vec<_>>() } } });
    let statement = |sk: &str| json!({ "Statement": r#"DELETE FROM "t" WHERE pk = ? AND sk = ?"#, "Parameters": [{ "S": "a" }, { "S": sk }] });
    let statements = |count: usize| json!({ "Statements": (0..count).map(|n| statement(&n.to_string())).collect::<Vec<_>>() });
    let nested = |levels: usize| (0..levels).fold(json!({ "S": "x" }), |value, _| json!({ "L": [value] }));
    for (operation, request, limit, expected) in [
        (
            "UpdateItem",
            condition(format!("a IN ({})", list(100))),
            condition(format!("a IN ({})", list(101))),
            "101 operands of IN",
        ),
        (
            "UpdateItem",
            condition("x".repeat(4096)),
            condition("x".repeat(4097)),
            "4097 bytes of an expression",
        ),
        (
            "UpdateItem",
            condition("a = b OR ".repeat(149) + "a = b"),
            condition("a = b OR ".repeat(150) + "a = b"),
            "301 operators",
        ),
        ("UpdateItem", condition("size(a) ".repeat(300)), condition("size(a) ".repeat(301)), "301 operators"),
        (
            "PutItem",
            json!({ "Item": item("a", 400 * KB - 9) }),
            json!({ "Item": item("a", 400 * KB) }),
            "bytes of an item",
        ),
        (
            "PutItem",
            json!({ "Item": item(&"a".repeat(2048), 0) }),
            json!({ "Item": item(&"a".repeat(2049), 0) }),
            "2049 bytes of a key",
        ),
        ("PutItem", json!({ "Item": item("a", 0) }), json!({ "Item": item("", 0) }), "the key pk is empty"),
        (
            "PutItem",
            json!({ "Item": { "x": nested(32) } }),
            json!({ "Item": { "x": nested(33) } }),
            "33 levels of nesting",
        ),
        (
            "PutItem",
            json!({ "Item": { "x": { "N": "1".repeat(38) + "00" } } }),
            json!({ "Item": { "x": { "N": "1".repeat(39) } } }),
            "39 digits",
        ),
        ("TransactWriteItems", transaction(100, 0), transaction(101, 0), "101 parts"),
        (
            "TransactWriteItems",
            transaction(10, 399 * KB),
            transaction(11, 399 * KB),
            "bytes of a transaction",
        ),
        (
            "TransactWriteItems",
            transaction(2, 0),
            json!({ "TransactItems": [put("a", 0), put("a", 1)] }),
            "named twice",
        ),
        ("BatchGetItem", keys(100), keys(101), "101 keys"),
        ("BatchExecuteStatement", statements(25), statements(26), "26 parts"),
        (
            "BatchExecuteStatement",
            statements(2),
            json!({ "Statements": [statement("a"), statement("a")] }),
            "named twice",
        ),
        (
            "BatchExecuteStatement",
            json!({ "Statements": [{ "Statement": "x".repeat(8192) }] }),
            json!({ "Statements": [{ "Statement": "x".repeat(8193) }] }),
            "8193 bytes of a statement",
        ),
        (
            "UpdateItem",
            json!({ "ExpressionAttributeValues": { ":a": { "S": "x".repeat(2 * MB - 2) } } }),
            json!({ "ExpressionAttributeValues": { ":a": { "S": "x".repeat(2 * MB) } } }),
            "bytes of names and values",
        ),
    ] {
        assert_eq!(excess(operation, &request), None);
        let found = excess(operation, &limit).unwrap_or_default();
        assert!(found.contains(expected), "{expected}: {found}");
    }
}
