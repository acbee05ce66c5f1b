//! The directory in DynamoDB: the only wing that names `aws_sdk_dynamodb`.
//!
//! There is no unconditional write of a resource here, and no read before a write where
//! the condition of the write can tell what a read would: a failed condition returns the
//! current item.
//!
//! The layers, each of which knows only those before it:
//!
//! * `limits`, `error`, `digest`: the ground.
//! * `dynamo`: mechanics, without a word of SCIM.
//! * `table`: the items of the table, and the handles that bind them to a tenant.
//! * `group`: groups and their members.
//! * `cleanup`: work that a request leaves for the sweep.
//! * `resource`: creating, changing and deleting one resource.
//! * `query`: queries of one resource type or of several.
//! * `tenants`, `tokens`, `secrets`, `audit`, `admin`: the operator's side.

#[cfg(feature = "cli")]
mod admin;
mod audit;
mod cleanup;
mod digest;
mod dynamo;
mod error;
mod group;
mod limits;
pub mod query;
mod resource;
mod secrets;
mod table;
mod tenants;
mod tokens;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;

#[cfg(feature = "cli")]
pub use self::admin::check::{Expected, Finding, Repaired};
#[cfg(feature = "cli")]
pub use self::admin::export::Entire;
#[cfg(feature = "cli")]
pub use self::admin::reindex::{Duplicate, Reindexed};
pub use self::audit::Audited;
pub use self::cleanup::{DueJobs, Swept};
pub(crate) use self::digest::sha256;
pub use self::dynamo::client::Applied;
#[cfg(feature = "cli")]
pub use self::dynamo::client::local_config;
use self::dynamo::client::{Table, client_config};
pub use self::dynamo::item::Key;
pub use self::dynamo::meter::{Meter, Reading};
pub use self::error::Error;
pub use self::group::change::{Apply, ChangedGroup, MemberChange, VersionAfter};
pub use self::group::groups_of::DirectGroups;
pub(crate) use self::limits::USE_INTERVAL;
pub use self::limits::{
    MAX_GROUPS_OF_A_MEMBER, MAX_MEMBERS_READ, MAX_REQUEST_TIME, MAX_RESOURCE_BYTES, RETRY_AFTER,
};
pub use self::resource::{Blind, Change, Created, Restored};
pub use self::secrets::{Secret, SecretRecord};
pub use self::table::audit_trail::{Action, AuditTrail, Changed};
pub use self::table::directory::{Collection, Directory, TenantName};
pub use self::table::keys::check_type_names;
pub use self::table::names::{Name, Names};
pub use self::table::registries::Registries;
pub use self::table::tenant_record::{
    Algorithm, Keys, Oauth, Reindex, Scope, Stage, TenantRecord, TokenRecord, registry,
};
pub use self::table::write_context::{WriteContext, Writer};
pub use self::tokens::Rotated;

use crate::sources::Sources;

/// The table of all tenants.
#[derive(Clone)]
pub struct Store {
    table: Table,
}

impl Store {
    /// Connects to a table. `endpoint` is a DynamoDB other than that of the region.
    pub fn connect(shared: &SdkConfig, endpoint: Option<&str>, table: &str, sources: &Sources) -> Self {
        let mut settings = client_config(shared);
        settings.set_endpoint_url(endpoint.map(str::to_owned));
        Self::new(Client::from_conf(settings.build()), table, sources)
    }

    /// Connects to a table of a DynamoDB that checks no credentials.
    #[cfg(feature = "cli")]
    pub fn connect_local(endpoint: &str, table: &str, sources: &Sources) -> Self {
        Self::new(Client::from_conf(local_config(endpoint).build()), table, sources)
    }

    pub fn new(client: Client, table: impl Into<String>, sources: &Sources) -> Self {
        Self { table: Table::new(client, table.into(), sources) }
    }

    /// Binds the tenant, once for all that follows.
    pub fn directory<'a>(&'a self, tenant: &'a TenantName) -> Directory<'a> {
        Directory { table: &self.table, tenant }
    }

    /// Creates the table in an emulator, unless it exists.
    #[cfg(feature = "local")]
    pub async fn create_table(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.table.create().await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// The layers from the ground up. A file imports from its own layer and from those
    /// below it.
    const LAYERS: [&[&str]; 7] = [
        &["limits", "error", "digest"],
        &["dynamo"],
        &["table"],
        &["group"],
        &["cleanup"],
        &["resource"],
        &["query", "tenants", "tokens", "secrets", "audit", "admin"],
    ];

    fn layer(name: &str) -> usize {
        LAYERS.iter().position(|layer| layer.contains(&name)).unwrap_or_else(|| panic!("no layer has {name}"))
    }

    fn files_below(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
        files.into_iter().chain(folders.iter().flat_map(|folder| files_below(folder))).collect()
    }

    #[test]
    fn no_layer_imports_from_one_above_it() {
        let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
        let mut imports = 0;
        for file in files_below(&store).into_iter().filter(|file| *file != store.join("mod.rs")) {
            let name = file.strip_prefix(&store).unwrap().iter().next().unwrap().to_str().unwrap();
            let own = layer(name.trim_end_matches(".rs"));
            let text = fs::read_to_string(&file).unwrap();
            // `Store` itself is of no layer: it is what the upper ones add methods to.
            for import in text.split("crate::store::").skip(1).filter(|rest| !rest.starts_with(['S', '{'])) {
                let name = import.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap();
                assert!(layer(name) <= own, "{} imports from {name}", file.display());
                imports += 1;
            }
        }
        assert!(imports > 200, "{imports}");
    }
}
