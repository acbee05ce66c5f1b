use super::error::Error;
use super::filter::Filter;
use super::resource::Resource;
use super::schema::{Attribute, ResourceType};
use serde_json::Value;
pub struct Matcher<'a>(std::marker::PhantomData<&'a ()>);
impl<'a> Matcher<'a> {
    pub fn new(_f: &Filter, _k: &'a ResourceType) -> Result<Self, Error> {
        Ok(Self(std::marker::PhantomData))
    }
    pub fn for_elements(_f: &Filter, _a: &'a Attribute) -> Result<Self, Error> {
        Ok(Self(std::marker::PhantomData))
    }
    pub fn matches(&self, _r: &Resource) -> bool {
        true
    }
    pub fn matches_element(&self, _r: &Value) -> bool {
        true
    }
}
