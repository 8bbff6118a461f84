//! What a statement's ON clause and its external catalogs name, of what is there.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::restore::TableChoice;
use crate::statement::{Catalogs, Item, ItemKind, Selection};
use starsnap_catalog::model::{Catalog, Function};
use starsnap_catalog::snapshot::{CatalogText, TableKind};
use std::collections::HashSet;

/// An ON clause and external catalogs. Neither: everything, and then there is no need for one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub selection: Selection,
    pub catalogs: Catalogs,
}

impl Wanted {
    /// None when a statement names nothing, and so means everything.
    pub fn of(selection: &Selection, catalogs: &Catalogs) -> Option<Wanted> {
        let named = !selection.is_everything() || *catalogs != Catalogs::None;
        named.then(|| Wanted { selection: selection.clone(), catalogs: catalogs.clone() })
    }

    /// The tables, materialized views and views meant, of `entries`. A name that is not there, or is another kind of object: `NoSuchObject`.
    pub(crate) fn choices(&self, entries: &[(&str, TableKind)], action: &'static str) -> Result<Vec<TableChoice>> {
        let selection = &self.selection;
        let mut choices = Vec::new();
        for item in selection.items.iter().filter(|item| item.kind != ItemKind::Function) {
            let found = entries.iter().find(|(name, _)| *name == item.name).map(|(_, kind)| *kind);
            check_kind(item, found, action)?;
            let (mut seen, mut partitions) = (HashSet::new(), item.partitions.clone());
            partitions.retain(|name| seen.insert(name.clone()));
            choices.push(TableChoice { name: item.name.clone(), alias: item.alias.clone(), partitions });
        }
        for (name, kind) in entries {
            let all = match kind {
                TableKind::Table | TableKind::Other => selection.all_tables,
                TableKind::MaterializedView => selection.all_materialized_views,
                TableKind::View => selection.all_views,
            };
            if all && !choices.iter().any(|choice| choice.name == *name) {
                choices.push(TableChoice { name: (*name).to_owned(), ..TableChoice::default() });
            }
        }
        Ok(choices)
    }

    /// The functions meant, of `stored`, under their new names. A name stands for all overloads.
    pub(crate) fn functions(&self, stored: &[CatalogText], action: &'static str) -> Result<Vec<CatalogText>> {
        if self.selection.all_functions {
            return Ok(stored.to_vec());
        }
        let items = self.selection.items.iter().filter(|item| item.kind == ItemKind::Function);
        let named = items.map(|item| (item.name.as_str(), item.alias.as_deref()));
        pick(stored, named, action, "function", |function: &mut Function| &mut function.name.name)
    }

    /// The external catalogs meant, of `stored`, under their new names.
    pub(crate) fn catalogs(&self, stored: &[CatalogText], action: &'static str) -> Result<Vec<CatalogText>> {
        match &self.catalogs {
            Catalogs::None => Ok(Vec::new()),
            Catalogs::All if stored.is_empty() => {
                let reason = "there are no external catalogs";
                Err(RestoreError::new(ErrorKind::NoSuchObject, action, "external catalogs", reason))
            }
            Catalogs::All => Ok(stored.to_vec()),
            Catalogs::Named(names) => {
                let named = names.iter().map(|(name, alias)| (name.as_str(), alias.as_deref()));
                pick(stored, named, action, "external catalog", |catalog: &mut Catalog| &mut catalog.name)
            }
        }
    }
}

fn check_kind(item: &Item, found: Option<TableKind>, action: &'static str) -> Result<()> {
    let wanted = match item.kind {
        ItemKind::Any | ItemKind::Function => "table",
        ItemKind::Table => "table",
        ItemKind::MaterializedView => "materialized view",
        ItemKind::View => "view",
    };
    let is = match found {
        Some(TableKind::Table | TableKind::Other) => "table",
        Some(TableKind::MaterializedView) => "materialized view",
        Some(TableKind::View) => "view",
        None => {
            return Err(RestoreError::new(
                ErrorKind::NoSuchObject,
                action,
                &item.name,
                format!("there is no {wanted} of that name"),
            ));
        }
    };
    if item.kind == ItemKind::Any || is == wanted {
        return Ok(());
    }
    Err(RestoreError::new(ErrorKind::NoSuchObject, action, &item.name, format!("it is a {is}, not a {wanted}")))
}

/// Those of `stored` that are named, each under its alias.
fn pick<'a, T: for<'de> serde::Deserialize<'de> + serde::Serialize>(
    stored: &[CatalogText],
    named: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    action: &'static str,
    kind: &str,
    name_of: impl Fn(&mut T) -> &mut String,
) -> Result<Vec<CatalogText>> {
    let mut picked = Vec::new();
    for (wanted, alias) in named {
        let before = picked.len();
        for text in stored {
            let failed = |error| RestoreError::catalog(action, wanted, error);
            let mut object: T = text.parse().map_err(failed)?;
            let name = name_of(&mut object);
            if name != wanted {
                continue;
            }
            match alias {
                None => picked.push(text.clone()),
                Some(alias) => {
                    alias.clone_into(name);
                    picked.push(CatalogText::of(&object).map_err(failed)?);
                }
            }
        }
        if picked.len() == before {
            let reason = format!("there is no {kind} of that name");
            return Err(RestoreError::new(ErrorKind::NoSuchObject, action, wanted, reason));
        }
    }
    Ok(picked)
}
