//! Time limits: a DynamoDB that does not answer, and the time that API Gateway allows.

use std::time::Duration;

use insta::assert_snapshot;
use tokio::time::Instant;

use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::user_write::ACTS;

#[tokio::test]
async fn a_database_that_never_answers_is_503_before_api_gateway_gives_up() {
    let directory = Directory::new().await;
    let mut times = Vec::new();
    for act in ACTS {
        for warm in [false, true] {
            let name = format!("{act:?}-{warm}");
            let path = act.prepare(&directory.client(), &name).await;
            let client = directory.impatient_client();
            if warm {
                client.get("/ServiceProviderConfig").await;
            }
            tokio::time::pause();
            let started = Instant::now();
            for operation in ["BatchGetItem", "GetItem", "UpdateItem", "TransactWriteItems"] {
                client.faults.inject_times(operation, 100, Fault::Hang);
            }
            let answer = act.request(&client, &name, &path).send().await;
            let elapsed = started.elapsed();
            tokio::time::resume();
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{act:?}: {answer}");
            assert!(elapsed < Duration::from_secs(25), "{act:?} {warm}: {elapsed:?}");
            times.push(format!("{act:?} {} {}", if warm { "warm" } else { "cold" }, elapsed.as_secs()));
        }
    }
    assert_snapshot!(times.join("\n"), @r#"
    Create cold 6
    Create warm 12
    Replace cold 6
    Replace warm 12
    Deactivate cold 6
    Deactivate warm 12
    AddTitle cold 6
    AddTitle warm 6
    AddEmail cold 6
    AddEmail warm 6
    AddRoles cold 6
    AddRoles warm 6
    RemoveRoles cold 6
    RemoveRoles warm 6
    Rename cold 6
    Rename warm 12
    Delete cold 6
    Delete warm 6
    "#);
    check(&directory).await;
}

/// A call without a time limit of its own ends with that of the request.
#[tokio::test]
async fn a_request_ends_before_api_gateway_gives_up() {
    let client = Directory::new().await.client();
    client.get("/ServiceProviderConfig").await;
    tokio::time::pause();
    let started = Instant::now();
    client.faults.inject("TransactWriteItems", Fault::Hang);
    let answer = client.post("/Users", r#"{"userName":"sarah"}"#).await;
    assert_eq!(started.elapsed().as_secs(), 25);
    assert_snapshot!(answer, @r#"503 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"503","detail":"the request took too long: read the resource, or send the request again later"}"#);
    assert_eq!(answer.header("retry-after"), Some("2"));
}
