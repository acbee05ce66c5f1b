//! Queries that are read page by page.

use crate::support::client::Client;

/// Reads a query to its end by cursor. Returns the number of pages, and the user names in
/// the order shown.
pub(crate) async fn all_by_cursor(client: &Client, query: &str) -> (usize, Vec<String>) {
    let (mut pages, mut names, mut cursor) = (0, Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{query}&cursor={cursor}")).await;
        assert_eq!(page.status, 200, "{page}");
        pages += 1;
        names.extend(page.list("userName").split(' ').filter(|name| !name.is_empty()).map(str::to_owned));
        match page.body["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return (pages, names),
        }
    }
}
