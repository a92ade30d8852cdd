//! Keys, and rules for those who have no token.

use std::{collections::HashMap, path::Path};

use anyhow::{Context, Result, bail};
use blockd_nbd::{Identity, budget::Peer, token::Token};
use ipnet::IpNet;
use serde::Deserialize;

use super::{
    claims::Shown,
    key::{self, NOT_VALID, VerifyingKey},
    pattern::Pattern,
    permissions::{Permission, Permissions},
};

/// The version of the access file.
const VERSION: u32 = 1;

/// An access file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default)]
    key: Vec<KeyEntry>,
    #[serde(default)]
    rule: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    id: String,
    public_key: String,
    /// Which repositories tokens that are signed with it may name.
    #[serde(default = "everything")]
    repositories: Vec<Pattern>,
}

/// Who has no token may open this: all conditions that are there must hold, each
/// by one of its values.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    networks: Option<Vec<IpNet>>,
    certificates: Option<Vec<String>>,
    users: Option<Vec<u32>>,
    repositories: Vec<Pattern>,
    #[serde(default)]
    history: Shown,
}

fn everything() -> Vec<Pattern> {
    let all = Pattern::try_from("*".to_owned());
    vec![all.expect("the star is a pattern")]
}

/// Who may open what.
#[derive(Clone, Debug)]
pub struct AccessRules {
    keys: HashMap<String, (VerifyingKey, Vec<Pattern>)>,
    rules: Vec<Rule>,
}

impl AccessRules {
    /// Parses an access file; `path` is for errors.
    ///
    /// # Errors
    ///
    /// What is wrong, and where.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let name = path.display();
        let document: Document =
            toml::from_str(text).with_context(|| format!("{name} is wrong"))?;
        if document.version != VERSION {
            let found = document.version;
            bail!("{name} has version {found}, and this blockd reads {VERSION}");
        }
        let mut keys = HashMap::new();
        for KeyEntry {
            id,
            public_key,
            repositories,
        } in document.key
        {
            let key = VerifyingKey::from_pem(&public_key)
                .with_context(|| format!("{name}: the key {id:?} cannot be used"))?;
            if keys.insert(id.clone(), (key, repositories)).is_some() {
                bail!("{name} has the key {id:?} twice");
            }
        }
        Ok(Self {
            keys,
            rules: document.rule,
        })
    }

    /// How many keys and rules there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.keys.len(), self.rules.len())
    }

    /// What a client may open, with a token or without.
    ///
    /// # Errors
    ///
    /// The token is not valid, for the client.
    pub(crate) fn permissions(
        &self,
        by: &Identity,
        token: Option<&Token>,
    ) -> Result<Permissions, &'static str> {
        let rules = self.rules.iter().filter(|rule| rule.is_for(by));
        let mut permissions: Vec<_> = rules.map(Rule::permission).collect();
        if let Some(token) = token {
            permissions.extend(self.of_token(token)?);
        }
        Ok(Permissions::Only(permissions))
    }

    /// `None` if it is for repositories that its key must not name.
    fn of_token(&self, token: &Token) -> Result<Option<Permission>, &'static str> {
        let id = key::key_of(token).ok_or(NOT_VALID)?;
        let (key, limits) = self.keys.get(&id).ok_or(NOT_VALID)?;
        let claims = key.verify(token)?;
        let is_within = limits.iter().any(|limit| limit.includes(&claims.repo));
        Ok(is_within.then(|| Permission {
            repositories: vec![claims.repo],
            commit: claims.commit,
            history: claims.history,
        }))
    }
}

impl Rule {
    fn is_for(&self, by: &Identity) -> bool {
        let network = |networks: &Vec<IpNet>| {
            let address = by.address;
            address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
        };
        let certificate = |names: &Vec<String>| {
            let mut names = names.iter().map(|name| name.to_ascii_lowercase());
            names.any(|name| by.certificate_names.contains(&name))
        };
        let user = |users: &Vec<u32>| match by.spender.peer {
            Peer::User(user) => users.contains(&user),
            Peer::Address(_) | Peer::Own => false,
        };
        self.networks.as_ref().is_none_or(network)
            && self.certificates.as_ref().is_none_or(certificate)
            && self.users.as_ref().is_none_or(user)
    }

    fn permission(&self) -> Permission {
        Permission {
            repositories: self.repositories.clone(),
            commit: None,
            history: self.history,
        }
    }
}
