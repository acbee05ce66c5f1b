//! `scimctl export`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;

use clap::Args;
use futures_util::TryStreamExt;
use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::store::{Entire, Store, TenantName};
use serde_json::{Value, json};

use crate::line::{Line, MembersLine, ResourceLine, TenantLine};
use crate::tenant::{known, tenant_name};
use crate::{Result, progress};

#[derive(Args)]
pub(crate) struct Export {
    /// Name of the tenant
    #[arg(value_parser = tenant_name)]
    tenant: TenantName,
    /// File to create. It contains personal data: only its owner can read it
    file: PathBuf,
    /// Resume an interrupted export
    #[arg(long)]
    resume: bool,
}

/// Members in one line.
const MEMBERS: usize = 1_000;

pub(crate) async fn run(store: &Store, packaged: &Definitions, export: Export) -> Result<Value> {
    let Export { tenant, file, resume } = export;
    let record = known(store, &tenant).await?;
    let kinds = record.registry(packaged)?.resource_types;
    let fails = |error: std::io::Error| format!("{}: {error}", file.display());
    let (mut out, last) = if resume {
        resume_file(&file).map_err(fails)?
    } else {
        let mut new = OpenOptions::new();
        let out = new.write(true).create_new(true).mode(0o600).open(&file);
        let out = out.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                format!("{} exists: pass --resume if it is of an interrupted export", file.display())
            }
            _ => fails(error),
        });
        (out?, Last::None)
    };
    if matches!(last, Last::End) {
        return Ok(json!({ "tenant": tenant.as_str(), "resources": 0 }));
    }
    let directory = store.directory(&tenant);
    let mut length = 0;
    for kind in &kinds {
        length += directory.collection(kind).total().await?;
    }
    let bar = progress(Some(length as u64), "resources");
    let mut writer = BufWriter::new(&mut out);
    if matches!(last, Last::None) {
        let (policy, oauth, definitions) = (record.policy, record.oauth, record.definitions);
        write(&mut writer, &Line::Tenant(TenantLine { policy, oauth, definitions })).map_err(fails)?;
    }
    let (mut skipped, mut from) = match &last {
        Last::Resource(kind, id) => (Some(kind.clone()), id.clone()),
        Last::None | Last::End => (None, String::new()),
    };
    let mut count = 0;
    for kind in &kinds {
        if skipped.as_ref().is_some_and(|name| *name != kind.name) {
            bar.inc(directory.collection(kind).total().await? as u64);
            continue;
        }
        skipped = None;
        // The last resource of an interrupted export is written again.
        let mut resources = pin!(directory.collection(kind).entire(&from));
        while let Some(entire) = resources.try_next().await? {
            one(&kind.name, entire, &mut writer).map_err(fails)?;
            count += 1;
            bar.inc(1);
        }
        from.clear();
    }
    write(&mut writer, &Line::End).map_err(fails)?;
    writer.flush().map_err(fails)?;
    drop(writer);
    // Before success is reported: the operator may delete the tenant next.
    out.sync_all().map_err(fails)?;
    bar.finish_and_clear();
    Ok(json!({ "tenant": tenant.as_str(), "resources": count }))
}

/// Writes one resource and its members.
fn one(kind: &str, (mut resource, members): Entire, out: &mut impl Write) -> std::io::Result<()> {
    // DynamoDB keeps no order. Two exports of one state must be the same file.
    resource.attributes.values_mut().for_each(Value::sort_all_objects);
    resource.attributes.sort_keys();
    let line = ResourceLine {
        kind: kind.to_owned(),
        id: resource.id.clone(),
        version: resource.version.0,
        created: resource.created,
        last_modified: resource.last_modified,
        resource: resource.attributes,
    };
    write(out, &Line::Resource(line))?;
    for members in members.chunks(MEMBERS) {
        let (kind, id) = (kind.to_owned(), resource.id.clone());
        write(out, &Line::Members(MembersLine { kind, id, members: members.to_vec() }))?;
    }
    Ok(())
}

fn write(out: &mut impl Write, line: &Line) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// The end of an existing file.
enum Last {
    None,
    /// Type and id of the last resource, which is removed from the file.
    Resource(String, String),
    End,
}

/// Truncates the file to where its last resource begins, which may lack members.
fn resume_file(path: &Path) -> std::io::Result<(File, Last)> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut reader = BufReader::new(&mut file);
    let (mut place, mut end, mut last) = (0, 0, Last::None);
    let mut text = String::new();
    while reader.read_line(&mut text)? > 0 {
        // A line without a line break was not written completely.
        if !text.ends_with('\n') {
            break;
        }
        // Any other line is an error: a file that is no export must not be truncated.
        match serde_json::from_str(&text)? {
            Line::Resource(line) => (end, last) = (place, Last::Resource(line.kind, line.id)),
            Line::End => return Ok((file, Last::End)),
            Line::Tenant(_) | Line::Members(_) => {}
        }
        place += text.len() as u64;
        text.clear();
    }
    // A file without any resource is truncated to nothing.
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    Ok((file, last))
}
