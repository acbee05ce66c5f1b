//! Groups found by their members, users by their groups, and both in lists (RFC 7644 s3.4.2).

use std::fmt::Write;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::answer::{Answer, members};
use crate::support::builders::{add, encoded};
use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::faults::Capacity;
use crate::support::paging::all_by_cursor;
use crate::support::seed::{create, id, users};

/// A directory with three groups: Design has users 0 and 1, Staff has Design and user 2, Attic is
/// empty.
struct Groups {
    directory: Directory,
    client: Client,
    users: Vec<String>,
    design: String,
    staff: String,
}

impl Groups {
    async fn new() -> Self {
        let directory = Directory::new().await;
        let client = directory.client();
        let users = users(&client, 4).await;
        let design = create(&client, "Design", &[&users[0], &users[1]]).await;
        let staff = create(&client, "Staff", &[id(&design), &users[2]]).await;
        create(&client, "Attic", &[]).await;
        let [design, staff] = [design, staff].map(|path| id(&path).to_owned());
        Self { directory, client, users, design, staff }
    }

    /// Replaces `U0` and so on by the ids of users, and `DESIGN` by that of the group.
    fn named(&self, filter: &str) -> String {
        let mut filter = filter.replace("DESIGN", &self.design);
        for (n, user) in self.users.iter().enumerate() {
            filter = filter.replace(&format!("U{n}"), user);
        }
        filter
    }

    async fn find(&self, kind: &str, filter: &str, rest: &str) -> Answer {
        let filter = encoded(&self.named(filter));
        self.client.get(&format!("/{kind}?filter={filter}{rest}")).await
    }

    /// Returns true if the members of a group were read.
    fn has_read_members(&self) -> bool {
        let requests = self.client.faults.requests();
        requests.iter().any(|(call, request)| call == "Query" && request.to_string().contains("demo#Group#"))
    }
}

fn ids(value: &Value) -> Vec<&str> {
    let elements = value.as_array().map_or(&[][..], Vec::as_slice);
    elements.iter().map(|element| element["value"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn groups_are_found_by_their_members() {
    let groups = Groups::new().await;
    for (filter, expected) in [
        (r#"members eq "U0""#, "Design"),
        (r#"members.value eq "U2""#, "Staff"),
        (r#"members[value eq "U1"]"#, "Design"),
        (r#"members[value eq "U1" and type eq "Group"]"#, ""),
        (r#"members eq "DESIGN""#, "Staff"),
        (r#"members eq "U3""#, ""),
        (r#"members eq "nobody""#, ""),
        (r#"members eq "U0" or members eq "U2""#, "Design Staff"),
        (r#"members eq "U0" and members eq "U2""#, ""),
        (r#"id eq "DESIGN" and members eq "U0""#, "Design"),
        (r#"id eq "DESIGN" and members eq "U2""#, ""),
        (r#"displayName eq "dESIGN" and members eq "U1""#, "Design"),
        (r#"not (members eq "U0")"#, "Staff Attic"),
        ("members pr", "Design Staff"),
        ("not (members pr)", "Attic"),
        (r#"members.type eq "Group""#, "Staff"),
        (r#"members.type eq "User""#, "Design Staff"),
        (r#"displayName eq "deSIGn""#, "Design"),
        (r#"displayName eq "Desig""#, ""),
    ] {
        for path in ["Groups", ""] {
            let found = groups.find(path, filter, "").await;
            let total = expected.split_whitespace().count();
            // Users match too, because they have no members.
            let users = if path.is_empty() && filter.starts_with("not") { 4 } else { 0 };
            assert_eq!(
                (found.status, &found.body["totalResults"]),
                (200, &json!(total + users)),
                "{path} {filter}: {found}"
            );
            let names = found.list("displayName");
            let names: Vec<&str> = names.split_whitespace().filter(|name| *name != "-").collect();
            assert_eq!(names.join(" "), expected, "{path} {filter}");
        }
    }
    // A group that is found shows all of its members.
    let found = groups.find("Groups", r#"members eq "U0""#, "").await;
    assert_eq!(ids(&found.body["Resources"][0]["members"]), groups.users[..2]);
}

#[tokio::test]
async fn whether_a_user_is_a_member_is_asked_in_one_trip() {
    let groups = Groups::new().await;
    for (user, found) in [("U0", 1), ("U3", 0)] {
        groups.client.faults.forget();
        let filter = format!(r#"id eq "DESIGN" and members eq "{user}""#);
        let answer = groups.find("Groups", &filter, "&attributes=id").await;
        assert_eq!(answer.body["totalResults"], found, "{answer}");
        assert_eq!(groups.client.faults.calls(), ["BatchGetItem"], "{user}");
        if groups.client.faults.reports_read_units() {
            assert_eq!(groups.client.faults.capacity(), Capacity { read: 3.0, write: 0.0 }, "{user}");
        }
    }
}

#[tokio::test]
async fn members_that_are_excluded_are_not_read() {
    let groups = Groups::new().await;
    let design = groups.named("/Groups/DESIGN");
    for query in [
        &format!("{design}?excludedAttributes=members"),
        &format!("{design}?attributes=displayName"),
        "/Groups?excludedAttributes=members",
        "/Groups?attributes=displayName,externalId",
        "/Groups?cursor&excludedAttributes=members",
        "/Groups?filter=displayName+eq+%22design%22&excludedAttributes=members",
        "/?excludedAttributes=members",
    ] {
        groups.client.faults.forget();
        let answer = groups.client.get(query).await;
        assert_eq!(answer.status, 200, "{query}: {answer}");
        assert!(!answer.to_string().contains("members"), "{query}: {answer}");
        assert!(!groups.has_read_members(), "{query}");
    }
    groups.client.faults.forget();
    assert_eq!(members(&groups.client.get(&design).await).len(), 2);
    assert!(groups.has_read_members());
}

#[tokio::test]
async fn a_list_of_groups_has_their_members_by_index_and_by_cursor() {
    let groups = Groups::new().await;
    let Groups { client, users, design, staff, .. } = &groups;
    for query in ["/Groups", "/Groups?attributes=members", "/Groups?filter=id+pr", "/Groups?cursor"] {
        let list = client.get(query).await;
        let shown: Vec<(&str, Vec<&str>)> = list.body["Resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| (group["id"].as_str().unwrap(), ids(&group["members"])))
            .collect();
        assert_eq!(shown.len(), 3, "{query}: {list}");
        assert!(shown.contains(&(design, vec![&users[0], &users[1]])), "{query}: {list}");
        assert!(shown.contains(&(staff, vec![&users[2], design])), "{query}: {list}");
        assert!(shown.iter().any(|(_, members)| members.is_empty()), "{query}: {list}");
    }
    let page = client.get("/Groups?startIndex=2&count=1&sortBy=displayName").await;
    assert_eq!((page.list("displayName").as_str(), &page.body["totalResults"]), ("Design", &json!(3)));
    assert_eq!(ids(&page.body["Resources"][0]["members"]), users[..2]);
    assert_eq!(all_by_cursor(client, "/Groups?count=2").await.1.len(), 3);
}

#[tokio::test]
async fn users_are_found_by_their_groups() {
    let groups = Groups::new().await;
    for (filter, expected) in [
        (r#"groups eq "DESIGN""#, "user0 user1"),
        (r#"groups.value eq "DESIGN""#, "user0 user1"),
        (r#"groups[value eq "DESIGN"] and userName eq "USER1""#, "user1"),
        (r#"groups.display eq "Design""#, "user0 user1"),
        (r#"groups.display eq "Staff""#, "user2"),
        (r#"groups.type eq "direct""#, "user0 user1 user2"),
        ("not (groups pr)", "user3"),
        (r#"groups.value eq "nobody""#, ""),
        (r#"id eq "U0" and groups eq "DESIGN""#, "user0"),
        (r#"id eq "U2" and groups eq "DESIGN""#, ""),
    ] {
        let found = groups.find("Users", filter, "&excludedAttributes=groups").await;
        assert_eq!((found.status, found.list("userName").as_str()), (200, expected), "{filter}");
        assert!(!found.to_string().contains("\"groups\""), "groups were excluded: {found}");
    }
    let indirect = groups.find("Users", r#"groups.type eq "indirect""#, "").await;
    assert_eq!(indirect.body["totalResults"], 0, "{indirect}");
}

#[tokio::test]
async fn who_is_deleted_is_found_in_no_group() {
    let groups = Groups::new().await;
    let Groups { client, users, design, .. } = &groups;
    assert_eq!(client.delete(&format!("/Users/{}", users[0])).await.status, 204);
    assert_eq!(client.delete(&groups.named("/Groups/DESIGN")).await.status, 204);
    for filter in [
        r#"members eq "U0""#,
        r#"members[value eq "U1"]"#,
        r#"id eq "DESIGN" and members eq "U1""#,
        r#"members eq "DESIGN""#,
    ] {
        let found = groups.find("Groups", filter, "").await;
        assert_eq!((found.status, &found.body["totalResults"]), (200, &json!(0)), "{filter}: {found}");
    }
    assert_eq!(groups.find("Users", r#"groups eq "DESIGN""#, "").await.body["totalResults"], 0);
    let staff = client.get(&format!("/Groups/{}", groups.staff)).await;
    assert_eq!(members(&staff), users[2..3]);
    // The id of a deleted group cannot be added again.
    let again = client.patch(&staff.path(), &add(&[design])).await;
    assert_eq!((again.status, &again.body["scimType"]), (400, &json!("invalidValue")), "{again}");
    client.sweep().await;
    check(&groups.directory).await;
}

#[tokio::test]
async fn a_new_group_of_an_old_name_has_none_of_the_old_members() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = users(&client, 3).await;
    let old = create(&client, "Design", &[&users[0], &users[1]]).await;
    assert_eq!(client.delete(&old).await.status, 204);
    let new = create(&client, "Design", &[]).await;
    assert_eq!(members(&client.get(&new).await), [""; 0]);
    assert_eq!(client.patch(&new, &add(&[&users[2]])).await.status, 204);
    client.sweep().await;
    assert_eq!(members(&client.get(&new).await), users[2..]);
    assert_eq!(client.get(&old).await.status, 404);
    assert_eq!(client.get(&format!("/Users/{}", users[0])).await.body.get("groups"), None);
    check(&directory).await;
}

/// A reference as it is shown, or any other that ends in the same endpoint and id.
#[tokio::test]
async fn a_reference_means_the_resource_that_it_ends_in() {
    let groups = Groups::new().await;
    for (kind, filter, expected) in [
        ("Groups", r#"members[$ref eq "https://example.com/scim/v2/Users/U0"]"#, "Design"),
        ("Groups", r#"members.$ref eq "https://example.com/scim/v2/Users/U2""#, "Staff"),
        ("Groups", r#"members.$REF eq "../users/U2""#, "Staff"),
        ("Groups", r#"members[$ref eq "https://old.example/x/Groups/DESIGN" and type eq "Group"]"#, "Staff"),
        ("Groups", r#"members[type eq "User"].$ref eq "/Users/U0""#, "Design"),
        // The user is not at this endpoint.
        ("Groups", r#"members.$ref eq "https://example.com/scim/v2/Groups/U0""#, ""),
        ("Groups", r#"members[$ref eq "https://example.com/scim/v2/Users/U3"]"#, ""),
        ("Groups", r#"members[$ref ne "https://example.com/scim/v2/Users/U0"]"#, "Design Staff"),
        ("Groups", r#"members.$ref ne "https://example.com/scim/v2/Users/U0""#, "Design Staff Attic"),
        ("Groups", r#"not (members.$ref eq "https://example.com/scim/v2/Users/U0")"#, "Staff Attic"),
        ("Groups", "members.$ref pr", "Design Staff"),
        ("Groups", "members[$ref eq null]", ""),
        ("Users", r#"groups.$ref eq "https://example.com/scim/v2/Groups/DESIGN""#, "user0 user1"),
        ("Users", r#"groups[$ref eq "https://example.com/scim/v2/Groups/DESIGN"]"#, "user0 user1"),
        (
            "Users",
            r#"groups.$ref eq "https://example.com/scim/v2/Groups/DESIGN" and userName eq "user1""#,
            "user1",
        ),
        ("Users", "not (groups.$ref pr)", "user3"),
    ] {
        let found = groups.find(kind, filter, "").await;
        let name = if kind == "Users" { "userName" } else { "displayName" };
        assert_eq!((found.status, found.list(name).as_str()), (200, expected), "{filter}: {found}");
    }
    for (kind, filter) in [
        ("Groups", r#"members.$ref eq "x""#),
        ("Groups", r#"members[$ref eq "https://example.com/scim/v2/Users/"]"#),
        ("Groups", r#"members[$ref eq "https://example.com/scim/v2/Devices/U0"]"#),
        ("Groups", r#"members.$ref co "U0""#),
        ("Groups", r#"members[$ref sw "https://example.com"]"#),
        ("Groups", "members.$ref eq 5"),
        ("Users", r#"groups.$ref eq "https://example.com/scim/v2/Users/U0""#),
    ] {
        let found = groups.find(kind, filter, "").await;
        assert_eq!((found.status, &found.body["scimType"]), (400, &json!("invalidFilter")), "{filter}");
    }
}

#[tokio::test]
async fn a_patch_finds_the_member_of_a_reference_as_it_is_shown() {
    let groups = Groups::new().await;
    let Groups { client, users, design, staff, .. } = &groups;
    let group = format!("/Groups/{staff}");
    let change = async |operation: Value| {
        client.patch(&group, &json!({ "Operations": [operation] }).to_string()).await
    };
    let shown = client.get(&group).await;
    for member in shown.body["members"].as_array().unwrap() {
        let reference = member["$ref"].as_str().unwrap();
        let path = format!("members[$ref eq \"{reference}\"]");
        let removed = change(json!({ "op": "remove", "path": path })).await;
        assert_eq!(removed.status, 204, "{removed}");
        let left = members(&client.get(&group).await);
        assert!(!left.contains(&member["value"].as_str().unwrap().to_owned()), "{path}: {left:?}");
    }
    assert_eq!(client.patch(&group, &add(&[&users[2], design])).await.status, 204);
    // Of a reference to another endpoint there is no member: removing it is a no-op.
    let other = format!("members[$ref eq \"https://example.com/scim/v2/Groups/{}\"]", users[2]);
    assert_eq!(change(json!({ "op": "remove", "path": other })).await.status, 204);
    assert_eq!(members(&client.get(&group).await).len(), 2);
    let mut table = String::new();
    for operation in [
        json!({ "op": "remove", "path": "members[$ref eq \"x\"]" }),
        json!({ "op": "remove", "path": "members[$ref co \"Users\"]" }),
        json!({ "op": "replace", "path": "members.$ref", "value": "https://example.com/scim/v2/Users/x" }),
        json!({ "op": "remove", "path": "members[type eq \"User\"].$ref" }),
    ] {
        let refused = change(operation.clone()).await;
        writeln!(table, "{}: {} {}", operation["path"], refused.body["scimType"], refused.detail()).unwrap();
    }
    assert_snapshot!(table, @r#"
    "members[$ref eq \"x\"]": "invalidPath" members.$ref must be compared with the URL of a resource: compare members.value with its id
    "members[$ref co \"Users\"]": "invalidPath" members.$ref can only be compared by eq, ne or pr: compare members.value with an id
    "members.$ref": "mutability" members.$ref cannot be changed: it follows from members.value
    "members[type eq \"User\"].$ref": "mutability" members.$ref cannot be changed: it follows from members.value
    "#);
    assert_eq!(members(&client.get(&group).await).len(), 2);
    check(&groups.directory).await;
}
