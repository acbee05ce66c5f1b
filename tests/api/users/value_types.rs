//! Values by the type of their attribute (RFC 7643 s2.3), in an extension with an attribute of
//! each type.

use scim_lambda::config::Config;
use scim_lambda::scim::registry::custom::Definitions;
use serde_json::json;

use crate::support::answer::Answer;
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
            {"name":"weight","type":"decimal"}]}]}],
    "resourceTypes":[{"name":"User","schemaExtensions":[{"schema":"urn:example:Values"}]}]}"#;

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
