//! Cold start: configuration, clients, [`App`]; then one event in, one reply out.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use lambda_http::lambda_runtime::{self, LambdaEvent, service_fn};
use scim_lambda::app::App;
use scim_lambda::config::Config;
use scim_lambda::lambda::Event;
use scim_lambda::sources::Sources;
use scim_lambda::store::Store;
use scim_lambda::telemetry;

// One thread: an instance has one request at a time, and less than one CPU below 1,769 MB.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let config = Config::read(environment)?;
    let sources = Sources::system();
    telemetry::init(&config.log, environment("AWS_LAMBDA_FUNCTION_NAME"), Arc::clone(&sources.now));
    let shared = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let store = Store::connect(&shared, config.dynamodb_endpoint.as_deref(), &config.table, &sources);
    let app = Arc::new(App::new(config, store, sources));
    app.warm_up().await;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| {
        let app = Arc::clone(&app);
        async move { Ok::<_, lambda_http::Error>(app.handle(event.payload).await) }
    }))
    .await
}

#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
