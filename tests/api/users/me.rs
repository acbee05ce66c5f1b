//! `/Me`, the user that a token is bound to (RFC 7644 s3.11).

use insta::assert_snapshot;

use crate::support::answer::Answer;
use crate::support::builders::{DEACTIVATE, SARAH};
use crate::support::client::Client;
use crate::support::directory::Directory;

fn location(answer: &Answer) -> &str {
    answer.header("location").unwrap_or_default()
}

#[tokio::test]
async fn a_user_reads_changes_and_deletes_himself() {
    let directory = Directory::new().await;
    let admin = directory.client();
    let sarah = admin.post("/Users", SARAH).await;
    let permanent = location(&sarah).to_owned();
    let me = directory.client_of(sarah.id()).await;

    let got = me.get("/Me").await;
    assert_eq!((got.body == sarah.body, location(&got)), (true, permanent.as_str()), "{got}");
    let known = me.request("GET", "/Me").header("if-none-match", "W/\"1\"").send().await;
    assert_eq!((known.status, location(&known)), (304, permanent.as_str()));
    assert_snapshot!(me.get("/Me?attributes=userName").await, @r#"200 W/"1" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","userName":"sarah.jones@example.com"}"#);

    let patched = me.patch("/Me", DEACTIVATE).await;
    assert_eq!((patched.status, location(&patched)), (200, permanent.as_str()), "{patched}");
    let stale = me.request("PUT", "/Me").if_match("W/\"1\"").body(SARAH).send().await;
    assert_eq!((stale.status, location(&stale)), (412, permanent.as_str()), "{stale}");
    let put = me.request("PUT", "/Me").if_match("W/\"2\"").body(SARAH).send().await;
    assert_eq!((put.status, put.header("etag"), location(&put)), (200, Some("W/\"3\""), permanent.as_str()));

    let gone = me.delete("/Me").await;
    assert_eq!((gone.status, location(&gone)), (204, permanent.as_str()));
    assert_eq!(admin.get(&sarah.path()).await.status, 404);
    assert_snapshot!(me.get("/Me").await, @r#"404 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"404","detail":"the resource does not exist: it was deleted or never created"}"#);
}

#[tokio::test]
async fn me_takes_the_methods_of_a_resource() {
    let directory = Directory::new().await;
    let sarah = directory.client().post("/Users", SARAH).await;
    let me = directory.client_of(sarah.id()).await;
    let post = me.post("/Me", SARAH).await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD, PUT, PATCH, DELETE, OPTIONS")));
    let options = me.request("OPTIONS", "/me").send().await;
    assert_eq!(
        (options.status, options.header("allow")),
        (204, Some("GET, HEAD, PUT, PATCH, DELETE, OPTIONS"))
    );
    assert_eq!(me.get("/Me/emails").await.status, 404);
}

#[tokio::test]
async fn the_token_of_a_service_is_nobody() {
    let client = Client::new().await;
    for method in ["GET", "PUT", "PATCH", "DELETE", "POST", "HEAD"] {
        assert_eq!(client.request(method, "/Me").body("{}").send().await.status, 501, "{method}");
    }
    assert_snapshot!(client.get("/Me").await, @r#"501 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"501","detail":"/Me is not available: this token is not bound to a user"}"#);
}
