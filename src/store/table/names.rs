//! The names of resources, read without the rest of them.

use std::collections::HashMap;

use serde::Deserialize;

use crate::store::dynamo::batch::Consistency;
use crate::store::dynamo::item::{Key, read};
use crate::store::error::Error;
use crate::store::table::directory::Directory;
use crate::store::table::resource_item::is_id;

const PARTS: &str = "pk, sk, #resource.displayName, #resource.userName";

/// The names of one resource.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Name {
    pub display_name: Option<String>,
    pub user_name: Option<String>,
}

impl Name {
    /// Returns the name that people know the resource by.
    pub fn display(&self) -> Option<&str> {
        self.display_name.as_deref().or(self.user_name.as_deref())
    }
}

/// The names of those resources that exist, by type and id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names(HashMap<String, HashMap<String, Name>>);

impl Names {
    pub fn get(&self, kind: &str, id: &str) -> Option<&Name> {
        self.0.get(kind)?.get(id)
    }
}

#[derive(Deserialize)]
struct NamedItem {
    #[serde(default)]
    resource: Name,
}

impl Directory<'_> {
    /// Reads the names of resources, each given by its type and id. A name that is shown may
    /// be a moment old, which costs half.
    pub async fn names(self, wanted: &[(&str, &str)]) -> Result<Names, Error> {
        self.read_names(wanted, Consistency::Eventual).await
    }

    /// Reads the names of resources as they are now, to tell which of them exist.
    pub async fn current_names(self, wanted: &[(&str, &str)]) -> Result<Names, Error> {
        self.read_names(wanted, Consistency::Strong).await
    }

    async fn read_names(self, wanted: &[(&str, &str)], consistency: Consistency) -> Result<Names, Error> {
        let wanted: HashMap<Key, &str> = wanted
            .iter()
            .filter(|(_, id)| is_id(id))
            .map(|(kind, id)| (self.resource_key(kind, id), *kind))
            .collect();
        let items = self.table.get_parts(wanted.keys().cloned().collect(), PARTS, consistency).await?;
        let mut names = Names::default();
        for item in items {
            let Some((key, kind)) = Key::of(&item).and_then(|key| Some((wanted.get(&key)?, key))) else {
                continue;
            };
            let (kind, Key { sk: id, .. }) = (key, kind);
            let NamedItem { resource } = read(item)?;
            names.0.entry((*kind).to_owned()).or_default().insert(id, resource);
        }
        Ok(names)
    }
}
