//! Values by the type of their attribute (RFC 7643 s2.3), in an extension with an attribute of
//! each type.

use scim_lambda::config::Config;
use scim_lambda::scim::registry::custom::Definitions;
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::builders::patch;
use crate::support::client::Client;
use crate::support::directory::Directory;

const URN: &str = "urn:example:Values";

const DOCUMENT: &str = r#"{
    "schemas":[{"id":"urn:example:Values","name":"Values","attributes":[
        {"name":"decimal","type":"decimal"},
        {"name":"integer","type":"integer"},
        {"name":"when","type":"dateTime"},
        {"name":"parts","type":"complex","multiValued":true,"subAttributes":[
            {"name":"value"},
            {"name":"type"},
            {"name":"weight","type":"decimal"},
            {"name":"labels","multiValued":true},
            {"name":"origin","returned":"request"},
            {"name":"primary","type":"boolean"}]},
        {"name":"codes","multiValued":true,"caseExact":true},
        {"name":"words","multiValued":true},
        {"name":"link","type":"reference","referenceTypes":["external"]},
        {"name":"bytes","type":"binary"},
        {"name":"note","returned":"request"}]}],
    "resourceTypes":[{"name":"User","schemaExtensions":[{"schema":"urn:example:Values"}],
        "lookUp":["urn:example:Values:parts.labels","urn:example:Values:link"]}]}"#;

async fn client() -> Client {
    let directory = Directory::new().await;
    let definitions = Definitions::parse(DOCUMENT).unwrap();
    directory.client_with(Config { definitions, ..Config::new(directory.table()) })
}

/// Creates a user with one attribute of the extension, whose value is JSON.
async fn with(client: &Client, attribute: &str, value: &str) -> Answer {
    let body = format!(
        r#"{{"userName":{:?},"active":true,{URN:?}:{{{attribute:?}:{value}}}}}"#,
        format!("{attribute} {value}")
    );
    client.post("/Users", &body).await
}

/// RFC 7643 s2.3.3, s2.3.4.
#[tokio::test]
async fn a_number_is_stored_as_it_was_sent_or_refused() {
    let client = client().await;
    for (attribute, sent, shown) in [
        ("decimal", "0.1", json!(0.1)),
        ("decimal", "1.50", json!(1.5)),
        ("decimal", "-2.0", json!(-2)),
        ("decimal", "-0.0", json!(0)),
        ("decimal", "1e-130", json!(1e-130)),
        ("decimal", "9.99e125", json!(9.99e125)),
        ("decimal", "1e20", json!(1e20)),
        ("decimal", "0.12345678901234568", json!(0.123_456_789_012_345_68)),
        ("integer", "-9223372036854775808", json!(i64::MIN)),
        ("integer", "18446744073709551615", json!(u64::MAX)),
    ] {
        let made = with(&client, attribute, sent).await;
        assert_eq!((made.status, &made.body[URN][attribute]), (201, &shown), "{sent}: {made}");
        let read = client.get(&made.path()).await;
        assert_eq!(read.body, made.body, "{sent}");
        let body = json!({ "userName": made.body["userName"], "active": true, URN: { attribute: shown } });
        let put = client.put(&made.path(), &body.to_string()).await;
        assert_eq!(put.header("etag"), Some("W/\"1\""), "{sent}: the same number changes nothing");
        let found = client.find(&format!("{URN}:{attribute} eq {sent}")).await;
        assert_eq!(found.body["totalResults"], 1, "{sent}");
        client.delete(&made.path()).await;
    }
    let decimal =
        "urn:example:Values:decimal must be a number of at most 17 digits between 1e-130 and 9.99e125";
    let weight = decimal.replace("decimal", "parts.weight");
    let integer = "urn:example:Values:integer must be an integer of 64 bits";
    for (attribute, sent, detail) in [
        ("decimal", "0.1234567890123456789", decimal),
        ("decimal", "1e126", decimal),
        ("decimal", "-1e126", decimal),
        ("decimal", "1e-200", decimal),
        ("decimal", "9e-131", decimal),
        ("decimal", "1e400", decimal),
        ("decimal", "1e-400", decimal),
        ("decimal", "18446744073709551616", decimal),
        ("decimal", "1.000000000000000000000000000000000000001", decimal),
        ("parts", r#"[{"value":"1e400","weight":1e400}]"#, &weight),
        ("integer", "18446744073709551616", integer),
        ("integer", "-9223372036854775809", integer),
        ("integer", "1e400", integer),
        ("integer", "7.0", "urn:example:Values:integer must be an integer"),
    ] {
        let refused = with(&client, attribute, sent).await;
        assert_eq!(refused.status, 400, "{sent}: {refused}");
        assert_eq!((&refused.body["scimType"], refused.detail()), (&json!("invalidValue"), detail), "{sent}");
    }
    let user = client.post("/Users", r#"{"userName":"bo","shoeSize":1e400,"title":"1e400"}"#).await;
    assert_eq!((user.status, &user.body["title"]), (201, &json!("1e400")));
    for operation in [
        format!(r#"{{"op":"add","path":"{URN}:decimal","value":1e-200}}"#),
        format!(r#"{{"op":"replace","value":{{"{URN}":{{"decimal":0.1234567890123456789}}}}}}"#),
    ] {
        let refused = client.patch(&user.path(), &format!(r#"{{"Operations":[{operation}]}}"#)).await;
        assert_eq!((refused.status, refused.detail()), (400, decimal), "{operation}");
    }
    for (literal, expected) in [
        ("0.1234567890123456789", "a number of at most 17 digits"),
        ("1e400", "a string in double quotes, a number, true, false or null"),
        ("1e-400", "a number of at most 17 digits"),
    ] {
        let refused = client.find(&format!("{URN}:decimal eq {literal}")).await;
        assert_eq!(refused.body["scimType"], "invalidFilter");
        assert!(refused.detail().contains(expected), "{refused}");
    }
}

/// RFC 7643 s2.3.5. `date_time.rs` has all forms.
#[tokio::test]
async fn a_date_is_an_xml_schema_date_and_time_in_bodies_and_filters() {
    let client = client().await;
    for text in ["2016-02-29T24:00:00Z", "2016-03-01T00:00:00.000", "2016-03-01T02:00:00+02:00"] {
        assert_eq!(with(&client, "when", &json!(text).to_string()).await.body[URN]["when"], text);
    }
    for filter in ["eq \"2016-02-29T24:00:00Z\"", "ge \"2016-03-01T00:00:00\"", "lt \"2016-03-01T00:00:01Z\""]
    {
        assert_eq!(client.find(&format!("{URN}:when {filter}")).await.body["totalResults"], 3, "{filter}");
    }
    for text in [
        "2016-03-01T12",
        "2016-03-01T12:00:00+0200",
        "2016-03-01T12:00:00+02:00[Europe/Oslo]",
        "2016-03-01T12:00:00,5Z",
        "2016-03-01T12:00:60Z",
        "2016-03-01",
    ] {
        let refused = with(&client, "when", &json!(text).to_string()).await;
        assert_eq!(refused.body["scimType"], "invalidValue", "{text}");
        for path in [&format!("{URN}:when"), "meta.lastModified"] {
            let refused = client.find(&format!("{path} gt {text:?}")).await;
            assert_eq!(refused.body["scimType"], "invalidFilter", "{text}");
        }
    }
}

/// RFC 7643 s2.2, s2.3.6, s2.3.7: a reference and a binary value are case exact by default.
#[tokio::test]
async fn the_case_of_a_reference_and_a_binary_value_counts() {
    let client = client().await;
    with(&client, "link", r#""https://example.com/A""#).await;
    with(&client, "bytes", r#""QUJD""#).await;
    with(&client, "note", r#""Text""#).await;
    for (filter, found) in [
        ("link eq \"https://example.com/A\"", 1),
        ("link eq \"https://example.com/a\"", 0),
        ("link sw \"HTTPS\"", 0),
        ("bytes eq \"QUJD\"", 1),
        ("bytes eq \"qujd\"", 0),
        ("note eq \"text\"", 1),
    ] {
        assert_eq!(client.find(&format!("{URN}:{filter}")).await.body["totalResults"], found, "{filter}");
    }
    let schema = client.get(&format!("/Schemas/{URN}")).await.body;
    let exact = |name: &str| {
        let attributes = schema["attributes"].as_array().unwrap();
        attributes.iter().find(|attribute| attribute["name"] == name).unwrap()["caseExact"].clone()
    };
    assert_eq!([exact("link"), exact("bytes"), exact("note")], [true, true, false]);
}

/// RFC 7643 s2.4.
#[tokio::test]
async fn an_element_that_does_not_say_so_is_not_primary() {
    let client = client().await;
    for (name, emails) in [
        ("ann", json!([{ "value": "a@x", "primary": true }, { "value": "b@x" }])),
        ("bob", json!([{ "value": "a@x", "primary": false }])),
        ("cid", json!([{ "value": "a@x", "primary": true }])),
        ("dan", json!([])),
    ] {
        client.post("/Users", &json!({ "userName": name, "emails": emails }).to_string()).await;
    }
    for (filter, found) in [
        ("emails[primary eq false]", "ann bob"),
        ("emails.primary eq false", "ann bob"),
        ("emails[primary ne true]", "ann bob"),
        ("emails[primary ne false]", "ann cid"),
        ("emails[primary eq true]", "ann cid"),
        ("emails[not (primary eq true)]", "ann bob"),
        ("not (emails[primary eq false])", "cid dan"),
        ("emails[primary pr]", "ann bob cid"),
        ("emails[value eq \"b@x\" and primary eq \"False\"]", "ann"),
    ] {
        assert_eq!(client.find(filter).await.list("userName"), found, "{filter}");
    }
    let ann = client.find("userName eq \"ann\"").await.body["Resources"][0].clone();
    let path = format!("/Users/{}", ann["id"].as_str().unwrap());
    let remove = patch(&json!([{ "op": "remove", "path": "emails[primary eq false]" }]));
    let left = client.patch(&path, &remove).await;
    assert_eq!(left.body["emails"], json!([{ "value": "a@x", "primary": true }]));
}

#[tokio::test]
async fn a_multi_valued_sub_attribute_matches_by_one_of_its_values() {
    let client = client().await;
    for (name, parts) in [
        ("ann", json!([{ "value": "1", "labels": ["red", "Blue"] }, { "value": "2" }])),
        ("bob", json!([{ "value": "1", "labels": ["green"] }])),
        ("cid", json!([{ "value": "1" }])),
    ] {
        let body = json!({ "userName": name, URN: { "parts": parts } });
        assert_eq!(client.post("/Users", &body.to_string()).await.status, 201);
    }
    for (filter, found) in [
        ("parts.labels eq \"blue\"", "ann"),
        ("parts[labels eq \"BLUE\"]", "ann"),
        ("parts[value eq \"1\" and labels co \"re\"]", "ann bob"),
        ("parts[value eq \"2\" and labels eq \"red\"]", ""),
        ("parts[labels pr]", "ann bob"),
        ("parts[value eq \"1\" and labels ne \"green\"]", "ann cid"),
        ("parts[not (labels eq \"green\") and value eq \"1\"]", "ann cid"),
        ("parts[labels sw \"r\" and labels sw \"b\"]", "ann"),
    ] {
        let filter = format!("{URN}:{filter}");
        assert_eq!(client.find(&filter).await.list("userName"), found, "{filter}");
    }
    let cid = client.find("userName eq \"cid\"").await.body["Resources"][0]["id"].clone();
    let add = json!([{ "op": "add", "path": format!("{URN}:parts[labels eq \"new\"].value"), "value": "3" }]);
    let made = client.patch(&format!("/Users/{}", cid.as_str().unwrap()), &patch(&add)).await;
    assert_eq!(made.body[URN]["parts"][1], json!({ "labels": ["new"], "value": "3" }), "{made}");
}

/// RFC 7643 s2.4: the combination of value and type appears once. Values are equal without
/// regard to case, unless their attribute is case exact.
#[tokio::test]
async fn a_value_appears_once() {
    let client = client().await;
    let extension = |name: &str, value: Value| json!({ URN: { name: value } });
    let cases = [
        (
            json!({ "emails": [{ "value": "a@x", "type": "work" }, { "value": "A@X", "type": "Work", "primary": true },
                { "value": "a@x", "type": "home" }, { "value": "a@x", "type": "work", "display": "A" }] }),
            json!({ "emails": [{ "value": "a@x", "display": "A", "type": "work", "primary": true },
                { "value": "a@x", "type": "home" }] }),
        ),
        (
            json!({ "addresses": [{ "type": "work", "locality": "Oslo" }, { "type": "work", "locality": "OSLO" }] }),
            json!({ "addresses": [{ "locality": "Oslo", "type": "work" }] }),
        ),
        (extension("words", json!(["a", "A", "b"])), extension("words", json!(["a", "b"]))),
        (extension("codes", json!(["a", "A", "a"])), extension("codes", json!(["a", "A"]))),
        (
            extension(
                "parts",
                json!([{ "value": "1", "labels": ["x", "X"] }, { "value": "1", "weight": 2 }]),
            ),
            extension("parts", json!([{ "value": "1", "weight": 2, "labels": ["x"] }])),
        ),
    ];
    let bo = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    for (n, (sent, kept)) in cases.into_iter().enumerate() {
        let shown = |answer: &Answer| {
            kept.as_object()
                .unwrap()
                .keys()
                .map(|name| (name.clone(), answer.body[name].clone()))
                .collect::<Value>()
        };
        let mut body = sent.clone();
        body["userName"] = json!(format!("u{n}"));
        assert_eq!(shown(&client.post("/Users", &body.to_string()).await), kept, "POST {sent}");
        body["userName"] = json!("bo");
        assert_eq!(shown(&client.put(&bo, &body.to_string()).await), kept, "PUT {sent}");
        for op in ["add", "replace"] {
            client.put(&bo, r#"{"userName":"bo"}"#).await;
            let operations = patch(&json!([{ "op": op, "value": sent }]));
            assert_eq!(shown(&client.patch(&bo, &operations).await), kept, "{op} {sent}");
            let again = patch(&json!([{ "op": "add", "value": sent }]));
            let version = client.get(&bo).await.header("etag").map(str::to_owned);
            assert_eq!(client.patch(&bo, &again).await.header("etag"), version.as_deref(), "again {sent}");
        }
    }
    // The present spelling stays, and a removal names a value in any case.
    client.put(&bo, r#"{"userName":"bo","emails":[{"value":"a@x","type":"work"}]}"#).await;
    let add = json!([{ "op": "add", "path": "emails", "value": [{ "value": "A@X", "type": "WORK", "display": "A" }] }]);
    let added = client.patch(&bo, &patch(&add)).await;
    assert_eq!(added.body["emails"], json!([{ "value": "a@x", "display": "A", "type": "work" }]));
    let remove = json!([{ "op": "remove", "path": "emails", "value": [{ "value": "A@x" }] }]);
    assert_eq!(client.patch(&bo, &patch(&remove)).await.body["emails"], Value::Null);
}

/// RFC 7643 s7: `request` attributes are returned by the write that specified them.
#[tokio::test]
async fn a_write_shows_what_it_has_set() {
    let client = client().await;
    let note = |answer: &Answer| answer.body[URN]["note"].clone();
    let made = client.post("/Users", &json!({ "userName": "bo", URN: { "note": "x" } }).to_string()).await;
    let bo = made.path();
    assert_eq!(note(&made), "x");
    assert_eq!(note(&client.get(&bo).await), Value::Null);
    let path = format!("{URN}:note");
    for (operation, expected) in [
        (json!({ "op": "replace", "path": path, "value": "y" }), json!("y")),
        (json!({ "op": "add", "path": path, "value": "y" }), json!("y")),
        (json!({ "op": "add", "value": { URN: { "note": "z" } } }), json!("z")),
        (json!({ "op": "replace", "path": "title", "value": "t" }), Value::Null),
    ] {
        let answer = client.patch(&bo, &patch(&json!([operation]))).await;
        assert_eq!(note(&answer), expected, "{operation}");
    }
    let body = json!({ "userName": "bo", URN: { "note": "w", "parts": [{ "value": "1", "origin": "o" }] } })
        .to_string();
    for (query, shown, origin) in [
        ("", json!("w"), json!("o")),
        ("?excludedAttributes=title", json!("w"), json!("o")),
        (&format!("?excludedAttributes={path}"), Value::Null, json!("o")),
        ("?attributes=userName", Value::Null, Value::Null),
        (&format!("?attributes={path}"), json!("w"), Value::Null),
    ] {
        let put = client.put(&format!("{bo}{query}"), &body).await;
        assert_eq!((note(&put), put.body[URN]["parts"][0]["origin"].clone()), (shown, origin), "{query}");
    }
    assert_eq!(client.get(&bo).await.body[URN]["parts"], json!([{ "value": "1" }]));
}
