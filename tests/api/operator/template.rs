//! The template and the README, compared with the function.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{GlobalSecondaryIndexDescription, KeySchemaElement};
use scim_lambda::config::Config;

use crate::support::directory::Directory;

const TEMPLATE: &str = include_str!("../../../template.yaml");
const README: &str = include_str!("../../../docs/configuration.md");

/// Returns the environment that the template gives to the functions, and the variables of the
/// worker alone.
fn environments() -> [BTreeMap<&'static str, &'static str>; 2] {
    [6, 8].map(|indent| {
        let indent = " ".repeat(indent);
        let (_, rest) = TEMPLATE.split_once(&format!("\n{indent}Variables:\n")).unwrap();
        let lines = rest.lines().take_while(|line| line.starts_with(&format!("{indent}  ")));
        let variables = lines.map(str::trim).filter(|line| !line.starts_with('#'));
        variables.map(|line| line.split_once(": ").unwrap()).collect()
    })
}

/// Returns the value of a variable, or the default of the parameter that it refers to.
fn value(text: &str) -> String {
    let Some(parameter) = text.strip_prefix("!Ref ") else {
        return text.trim_matches('"').to_owned();
    };
    let Some((_, declared)) = TEMPLATE.split_once(&format!("\n  {parameter}:\n")) else { panic!("{text}") };
    let mut declared = declared.lines().take_while(|line| line.starts_with("    "));
    let default = declared.find_map(|line| line.trim().strip_prefix("Default: "));
    default.unwrap_or("table").trim_matches('"').to_owned()
}

#[test]
fn every_variable_of_the_template_is_read_and_every_one_that_is_read_is_documented() {
    let asked = RefCell::new(BTreeSet::new());
    let [given, of_worker] = environments();
    let config = Config::read(|name| {
        asked.borrow_mut().insert(name.to_owned());
        given.get(name).map(|text| value(text))
    });
    let config = config.unwrap();
    let asked = asked.into_inner();
    for name in given.keys().chain(of_worker.keys()) {
        assert!(asked.contains(*name), "{name} is in the template, and nothing reads it");
    }
    for name in &asked {
        assert!(README.contains(&format!("`{name}`")), "{name} is read, and not in the README");
    }
    // The defaults of the template are those of the function.
    assert_eq!(config, Config::new(config.table.as_str()));
    let worker =
        Config::read(|name| of_worker.get(name).or(given.get(name)).map(|text| value(text))).unwrap();
    let (_, function) = TEMPLATE.split_once("\n  Worker:\n").unwrap();
    let (_, timeout) = function.split_once("\n      Timeout: ").unwrap();
    let timeout: u64 = timeout.lines().next().unwrap().parse().unwrap();
    assert!(worker.sweep_time.as_secs() + 8 < timeout, "a last call may take 6 s");
}

/// The table of the tests has the keys and indexes of the deployed one.
#[tokio::test]
async fn the_table_of_the_tests_is_that_of_the_template() {
    let directory = Directory::new().await;
    let table = directory.dynamodb().describe_table().table_name(directory.table()).send().await.unwrap();
    let table = table.table.unwrap();
    let keys = |schema: &[KeySchemaElement]| {
        let elements = schema
            .iter()
            .map(|key| format!("{{ AttributeName: {}, KeyType: {} }}", key.attribute_name, key.key_type));
        elements.collect::<Vec<_>>()
    };
    let (_, section) = TEMPLATE.split_once("\n  Table:\n").unwrap();
    let (section, _) = section.split_once("\n\n").unwrap();
    for key in keys(table.key_schema()) {
        assert!(section.contains(&format!("\n        - {key}\n")), "{key}");
    }
    let indexes = table.global_secondary_indexes();
    assert_eq!(section.matches("IndexName: ").count(), indexes.len());
    for GlobalSecondaryIndexDescription { index_name, key_schema, .. } in indexes {
        let (_, declared) =
            section.split_once(&format!("IndexName: {}\n", index_name.clone().unwrap())).unwrap();
        let [hash, range] = keys(key_schema.as_deref().unwrap()).try_into().unwrap();
        let wanted = format!(
            "          KeySchema:\n            - {hash}\n            - {range}\n          Projection: {{ ProjectionType: KEYS_ONLY }}\n"
        );
        assert!(declared.starts_with(&wanted), "{declared}");
    }
    assert!(section.contains("StreamViewType: NEW_AND_OLD_IMAGES"));
    assert!(section.contains("AttributeName: ttl"));
}

/// An alarm on a metric that no line has would never sound.
#[test]
fn every_alarm_is_about_a_metric_of_the_log() {
    const TELEMETRY: &str = include_str!("../../../src/telemetry.rs");
    let mut names = Vec::new();
    for alarm in TEMPLATE.split("Namespace: ScimLambda\n").skip(1) {
        let (_, name) = alarm.lines().next().unwrap().split_once("MetricName: ").unwrap();
        assert!(TELEMETRY.contains(&format!("(\"{name}\", ")), "{name}");
        names.push(name);
    }
    assert!(names.contains(&"sweep_errors"), "{names:?}");
}
