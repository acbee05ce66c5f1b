//! Cold start: configuration, clients, [`App`]; then one event in, one reply out.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use lambda_http::lambda_runtime::{self, LambdaEvent, service_fn};
use scim_lambda::app::{App, World};
use scim_lambda::config::Config;
use scim_lambda::event::Event;
use scim_lambda::{store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let environment = |name: &str| std::env::var(name).ok();
    telemetry::init(environment("SCIM_LOG").as_deref());
    let config = Config::read(environment)?;
    let shared = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = aws_sdk_dynamodb::Client::from_conf(store::client_config(&shared).build());
    let app = Arc::new(App::new(config, client, World::real()));
    lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| {
        let app = Arc::clone(&app);
        async move { Ok::<_, lambda_http::Error>(app.handle(event.payload).await) }
    }))
    .await
}
