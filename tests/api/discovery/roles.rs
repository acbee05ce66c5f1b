//! Roles and entitlements that an operator declares
//! (draft-ietf-scim-roles-entitlements), and those that users have.

use insta::assert_snapshot;
use scim_lambda::scim::policy::{Policy, UnknownRoles};
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::{Directory, TOKEN};

const ROLES: &str = include_str!("../definitions/roles.json");

async fn directory(unknown_roles: UnknownRoles) -> (Directory, Client) {
    let directory = Directory::new().await;
    directory.set_policy("demo", Policy { unknown_roles, ..Policy::default() }).await;
    directory.set_definitions("demo", ROLES).await.unwrap();
    let client = directory.client();
    (directory, client)
}

async fn user(client: &Client, name: &str, roles: &[&str]) -> Answer {
    let roles: Vec<Value> = roles.iter().map(|role| json!({ "value": role })).collect();
    client.post("/Users", &json!({ "userName": name, "roles": roles }).to_string()).await
}

/// Returns the number of users for each role.
async fn used(client: &Client) -> String {
    let roles = client.get("/Roles?attributes=totalAssignmentsUsed").await;
    let resources = roles.body["Resources"].as_array().unwrap().iter();
    resources.map(|role| role["totalAssignmentsUsed"].to_string()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn roles_are_read_like_any_resource() {
    let (_directory, client) = directory(UnknownRoles::Accept).await;
    user(&client, "ann", &["US_TEAM_LEAD"]).await;
    assert_snapshot!(client.get("/Roles/us_team_lead").await, @r#"200 - {"schemas":["urn:ietf:params:scim:schemas:core:2.0:Role"],"id":"us_team_lead","value":"us_team_lead","display":"U.S. Team Lead","type":"lead","supported":true,"limitedAssignmentsPermitted":false,"totalAssignmentsUsed":1,"containedBy":["global_lead"],"contains":["nw_regional_lead"],"meta":{"resourceType":"Role","location":"https://example.com/scim/v2/Roles/us_team_lead"}}"#);
    assert_snapshot!(client.get("/Entitlements?excludedAttributes=totalAssignmentsUsed").await, @r#"200 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":2,"startIndex":1,"itemsPerPage":2,"Resources":[{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Entitlement"],"id":"feature.code_review_bypass","value":"feature.code_review_bypass","type":"Permission","supported":true,"limitedAssignmentsPermitted":false,"meta":{"resourceType":"Entitlement","location":"https://example.com/scim/v2/Entitlements/feature.code_review_bypass"}},{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Entitlement"],"id":"license.full_access_seat","value":"license.full_access_seat","display":"Full access","type":"License","supported":true,"limitedAssignmentsPermitted":true,"totalAssignmentsPermitted":100,"meta":{"resourceType":"Entitlement","location":"https://example.com/scim/v2/Entitlements/license.full_access_seat"}}]}"#);
    for (query, found) in [
        ("/Roles", "On call #1 global_lead intern nw_regional_lead us_team_lead"),
        ("/Roles?count=2&startIndex=2", "global_lead intern"),
        ("/Roles?filter=value+eq+%22INTERN%22", "intern"),
        (
            "/Roles?filter=supported+eq+true+and+type+eq+%22lead%22&sortBy=display",
            "global_lead nw_regional_lead us_team_lead",
        ),
        (
            "/Roles?filter=totalAssignmentsUsed+ge+1&sortBy=totalAssignmentsUsed&sortOrder=descending",
            "nw_regional_lead us_team_lead",
        ),
        ("/Roles?filter=contains+eq+%22us_team_lead%22", "global_lead"),
        ("/Roles?cursor&count=1", "On call #1"),
        ("/Entitlements?filter=type+eq+%22license%22", "license.full_access_seat"),
    ] {
        assert_eq!(client.get(query).await.list("value"), found, "{query}");
    }
    let search =
        client.post("/Roles/.search", r#"{"filter":"type pr","attributes":"value","count":1}"#).await;
    assert_eq!((search.list("value").as_str(), &search.body["totalResults"]), ("global_lead", &json!(3)));
    let on_call = client.get("/Roles?filter=totalAssignmentsPermitted+eq+3").await;
    let location = on_call.body["Resources"][0]["meta"]["location"].as_str().unwrap();
    assert_eq!(location, "https://example.com/scim/v2/Roles/On%20call%20%231");
    assert_eq!(client.get("/Roles/On%20call%20%231").await.body["value"], "On call #1");
    assert_eq!(client.get("/Roles/none").await.status, 404);
    assert_eq!(client.get("/Roles?filter=meta.created+pr").await.body["scimType"], "invalidFilter");
    // Only the operator changes them.
    for (method, path) in [
        ("POST", "/Roles"),
        ("PUT", "/Roles/intern"),
        ("PATCH", "/Roles/intern"),
        ("DELETE", "/Roles/intern"),
    ] {
        let answer = client.request(method, path).body("{}").send().await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
    }
}

/// An HTTP API decodes the path once, a REST API passes it as sent, and clients send a `location`
/// or encode an `id` themselves.
#[tokio::test]
async fn every_role_is_read_by_its_id_and_by_its_location() {
    let directory = Directory::new().await;
    let values = [
        "simple",
        "a/b",
        "a!2Fb",
        "a%2Fb",
        "a%252Fb",
        "100%",
        "a?b",
        "a#b",
        "a b",
        "a+b",
        "cn=x,ou=y",
        "ä€",
        ".",
        "..",
        ".search",
        "a\\b",
        "a;b",
        "http://example.com/x?y",
    ];
    let roles: Vec<Value> = values.iter().map(|value| json!({ "value": value })).collect();
    directory
        .set_definitions("demo", &json!({ "roles": roles, "entitlements": roles }).to_string())
        .await
        .unwrap();
    let client = directory.client();
    user(&client, "ann", &values).await;
    for endpoint in ["Roles", "Entitlements", "OktaRoles", "OktaEntitlements"] {
        let all = client.get(&format!("/{endpoint}")).await;
        let all = all.body["Resources"].as_array().unwrap();
        assert_eq!(all.len(), values.len());
        for role in all {
            let id = role["id"].as_str().unwrap();
            let location = role["meta"]["location"].as_str().unwrap();
            let location = location.strip_prefix("https://example.com/scim/v2").unwrap().to_owned();
            let decoded = percent_encoding::percent_decode_str(&location).decode_utf8().unwrap().into_owned();
            assert_eq!(decoded, format!("/{endpoint}/{id}"));
            for path in [location, decoded] {
                // Not `Client::get`, which takes the path apart at a question mark.
                let event = |mut event: Value| {
                    event["headers"] =
                        json!({ "authorization": format!("Bearer {TOKEN}"), "host": "example.com" });
                    event["isBase64Encoded"] = false.into();
                    client.send(event)
                };
                let path = format!("/scim/v2{path}");
                let http = event(json!({
                    "version": "2.0", "rawPath": path, "requestContext": { "stage": "$default", "http": { "method": "GET" } },
                }));
                let rest = event(json!({
                    "httpMethod": "GET", "path": path, "requestContext": { "stage": "prod", "httpMethod": "GET", "path": path },
                }));
                for answer in [http.await, rest.await] {
                    assert_eq!(answer.body, *role, "{path}");
                }
            }
            if endpoint == "Roles" {
                assert_eq!(role["totalAssignmentsUsed"], 1, "{role}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_declared_is_advertised() {
    let (directory, client) = directory(UnknownRoles::Accept).await;
    directory.add_tenant("other", Policy::default()).await;
    let config = client.get("/ServiceProviderConfig").await;
    assert_snapshot!(config.body["RolesAndEntitlements"], @r#"{"roles":{"supported":true,"multipleRolesSupported":true,"primarySupported":true,"typeSupported":true,"types":["lead"]},"entitlements":{"supported":true,"multipleEntitlementsSupported":true,"primarySupported":true,"typeSupported":true,"types":["License","Permission"]}}"#);
    let types = client.get("/ResourceTypes").await;
    assert_eq!(types.list("name"), "User Group Role OktaRole Entitlement OktaEntitlement");
    for kind in types.body["Resources"].as_array().unwrap() {
        let schema = client.get(&format!("/Schemas/{}", kind["schema"].as_str().unwrap())).await;
        assert_eq!(schema.status, 200, "{kind}");
    }
    let other = client.with_token(&TOKEN.replace("demo", "other"));
    assert_eq!(other.get("/Roles").await.status, 404);
    let config = other.get("/ServiceProviderConfig").await;
    assert!(config.body.get("RolesAndEntitlements").is_none(), "{config}");
}

/// Okta reads `/ResourceTypes`, `/Schemas`, and every endpoint whose schema it knows.
#[tokio::test]
async fn okta_discovers_roles_and_entitlements() {
    let (_directory, client) = directory(UnknownRoles::Accept).await;
    let types = client.get("/ResourceTypes").await;
    let mut read = Vec::new();
    for kind in types.body["Resources"].as_array().unwrap() {
        if kind["schema"].as_str().unwrap().starts_with("urn:okta:scim:schemas:core:1.0:") {
            let endpoint = kind["endpoint"].as_str().unwrap();
            read.push(client.get(&format!("{endpoint}?count=1&startIndex=1")).await.to_string());
        }
    }
    assert_snapshot!(read.join("\n"), @r#"
    200 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":5,"startIndex":1,"itemsPerPage":1,"Resources":[{"schemas":["urn:okta:scim:schemas:core:1.0:Role"],"id":"On call #1","displayName":"On call #1","description":"Carries the telephone","meta":{"resourceType":"OktaRole","location":"https://example.com/scim/v2/OktaRoles/On%20call%20%231"}}]}
    200 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":2,"startIndex":1,"itemsPerPage":1,"Resources":[{"schemas":["urn:okta:scim:schemas:core:1.0:Entitlement"],"id":"feature.code_review_bypass","displayName":"feature.code_review_bypass","type":"Permission","description":"Bypass mandatory code review","meta":{"resourceType":"OktaEntitlement","location":"https://example.com/scim/v2/OktaEntitlements/feature.code_review_bypass"}}]}
    "#);
}

#[tokio::test]
async fn the_users_who_have_a_role_are_counted_exactly() {
    let (directory, client) = directory(UnknownRoles::Accept).await;
    assert_eq!(used(&client).await, "0 0 0 0 0");
    let ann = user(&client, "ann", &["global_lead", "GLOBAL_LEAD", "us_team_lead"]).await.path();
    user(&client, "bob", &["us_team_lead", "On call #1"]).await;
    user(&client, "eve", &["On call #1#x", "unheard of", "On call"]).await;
    // The roles are On call #1, global_lead, intern, nw_regional_lead, us_team_lead. A user with a
    // role also has the roles that it contains.
    assert_eq!(used(&client).await, "1 1 0 2 2");
    let swap = json!({ "Operations": [
        { "op": "remove", "path": "roles[value eq \"global_lead\"]" },
        { "op": "replace", "path": "roles[value eq \"us_team_lead\"].value", "value": "intern" },
    ] });
    assert_eq!(client.patch(&ann, &swap.to_string()).await.status, 200);
    assert_eq!(used(&client).await, "1 0 1 1 1");
    let adds: Vec<Value> = (0..40)
        .map(|n| {
            json!({ "method": "POST", "path": "/Users", "bulkId": n.to_string(),
        "data": { "userName": format!("u{n}"), "roles": [{ "value": "On call #1" }] } })
        })
        .collect();
    client.post("/Bulk", &json!({ "Operations": adds }).to_string()).await;
    assert_eq!(client.delete(&ann).await.status, 204);
    assert_eq!(used(&client).await, "41 0 0 1 1");
    client.faults.forget();
    let found = client.find("roles.value eq \"US_TEAM_LEAD\"").await;
    assert_eq!(
        (found.list("userName").as_str(), client.faults.calls().join(" ").as_str()),
        ("bob", "Query Query BatchGetItem Query")
    );
    // More than have index rows of their own.
    let more: Vec<String> = (0..40).map(|n| format!("other{n}")).chain(["US_team_lead".to_owned()]).collect();
    user(&client, "max", &more.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(used(&client).await, "41 0 0 2 2");
    check(&directory).await;
}

#[tokio::test]
async fn a_role_that_is_not_declared_is_refused_where_the_tenant_has_it_so() {
    let (directory, client) = directory(UnknownRoles::Accept).await;
    let eve = user(&client, "eve", &["unheard of", "intern"]).await.path();
    let refuse = Policy { unknown_roles: UnknownRoles::Refuse, ..Policy::default() };
    directory.set_policy("demo", refuse).await;
    let client = directory.client();
    let mut answers = Vec::new();
    for body in [
        json!({ "userName": "a", "roles": [{ "value": "unheard of" }] }),
        json!({ "userName": "a", "roles": [{ "value": "intern" }] }),
        json!({ "userName": "a", "roles": [{ "value": "us_team_lead", "type": "boss" }] }),
        json!({ "userName": "a", "roles": [{ "value": "us_team_lead", "primary": true }, { "value": "global_lead", "primary": true }] }),
        json!({ "userName": "a", "entitlements": [{ "value": "us_team_lead" }] }),
        json!({ "userName": "a", "entitlements": [{ "display": "no value" }] }),
    ] {
        answers.push(client.post("/Users", &body.to_string()).await.to_string());
    }
    assert_snapshot!(answers.join("\n"), @r#"
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"roles: unheard of is unknown: GET /Roles lists the valid values"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"roles: intern cannot be assigned: it is not supported: GET /Roles lists the valid values"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"roles: us_team_lead has the type lead, not boss: GET /Roles lists the valid values"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"roles has 2 primary values, the limit is 1"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"entitlements: us_team_lead is unknown: GET /Entitlements lists the valid values"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"entitlements: an element must have a value: GET /Entitlements lists the valid values"}
    "#);
    let good = json!({ "userName": "a", "roles": [{ "value": "US_team_lead", "type": "Lead", "primary": true }, { "value": "global_lead" }],
        "entitlements": [{ "value": "license.full_access_seat" }] });
    assert_eq!(client.post("/Users", &good.to_string()).await.status, 201);
    // A user may keep a role that is not declared, but not get it back.
    let keep = json!({ "userName": "eve", "title": "x", "roles": [{ "value": "unheard of" }, { "value": "us_team_lead" }] });
    assert_eq!(client.put(&eve, &keep.to_string()).await.status, 200);
    let more = json!({ "Operations": [{ "op": "add", "path": "roles", "value": [{ "value": "intern" }] }] });
    assert_eq!(client.patch(&eve, &more.to_string()).await.body["scimType"], "invalidValue");
    assert_eq!(
        client
            .put(&eve, &json!({ "userName": "eve", "roles": [{ "value": "intern" }] }).to_string())
            .await
            .status,
        400
    );
    check(&directory).await;
}
