//! What becomes of a stranger's packet: follows it through every chain that it passes on its way to a program of this machine.
//!
//! A chain's *accept* lets the packet go on to the next base chain, and one *drop* is final, so the base chains can be asked one by one, in
//! any order. Where a condition may hold, both ways are followed: the packet is let in only if every way accepts it, and dropped only if
//! every way drops it.

use super::packet::{Holds, Packet, named_sources};
use super::ruleset::{Action, Chain, Program, Rule, Ruleset, Table};

/// Chains that lead into each other.
const MAX_DEPTH: usize = 32;
/// Rules that are looked at for one packet.
const MAX_STEPS: usize = 200_000;
/// Chains that are remembered on the way.
const MAX_PASSED: usize = 256;
/// Names of admitted sources that are kept of one rule, and about as many of a chain.
const MAX_SOURCES: usize = 4;

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    Accepted,
    /// By each of these base chains.
    Dropped(Vec<Drop>),
    /// With the reason, as a clause.
    Unknown(String),
}

/// Where a packet is dropped, and from where on a rule must stand that lets it in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drop {
    pub(super) program: Program,
    pub(super) table: String,
    pub(super) chain: String,
    /// The rule of the base chain that drops the packet, or that leads to the one that does; `None`: the chain's policy drops it.
    pub(super) rule: Option<Position>,
    /// All rules of the base chain in front of it accept packets, or do nothing.
    pub(super) only_accepts_before: bool,
    /// The chains that led to the rule, from the base chain on.
    pub(super) chains: Vec<String>,
    /// The chains that the packet has passed, in their order.
    pub(super) passed: Vec<String>,
    /// The rule that drops the packet.
    pub(super) text: String,
    /// Sources that are let in.
    pub(super) admitted: Vec<String>,
}

/// A rule of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// From 0.
    pub(super) index: usize,
    pub(super) handle: Option<u64>,
}

pub(super) fn fate(ruleset: &Ruleset, packet: &Packet) -> Fate {
    let (mut drops, mut unknown) = (Vec::new(), None);
    let tables = ruleset.tables.iter().filter(|table| table.families.has(packet.v6));
    for (table, chain) in tables.flat_map(|table| table.chains.iter().map(move |chain| (table, chain))) {
        let Some(base) = chain.base else { continue };
        let mut walk = Walk::new(table, packet);
        let mut path = vec![chain.name.as_str()];
        if walk.chain(chain, None, &mut path) {
            if base.drops {
                walk.drop(None, &path, "its policy");
            } else {
                walk.accepted = true;
            }
        }
        if let Some(reason) = walk.lost {
            unknown.get_or_insert(reason);
        } else if let Some(first) = &walk.dropped {
            if walk.accepted {
                unknown.get_or_insert(format!("{}, chain {}, lets some packets in", described(table), chain.name));
            } else {
                drops.push(found(table, chain, first, walk.admitted));
            }
        }
    }
    match unknown {
        // One drop is final, whatever the others do.
        _ if !drops.is_empty() => Fate::Dropped(drops),
        Some(reason) => Fate::Unknown(reason),
        None => Fate::Accepted,
    }
}

fn described(table: &Table) -> String {
    format!("{}, table {}", table.program.command(), table.name)
}

fn found(table: &Table, chain: &Chain, first: &Dropped, admitted: Vec<String>) -> Drop {
    let before = chain.rules.iter().take(first.rule.unwrap_or(usize::MAX));
    Drop {
        program: table.program,
        table: table.name.clone(),
        chain: chain.name.clone(),
        rule: first.rule.map(|index| Position { index, handle: chain.rules.get(index).and_then(|rule| rule.handle) }),
        only_accepts_before: before.flat_map(|rule| &rule.branches).all(|branch| branch.action == Action::Accept),
        chains: first.chains.clone(),
        passed: first.passed.clone(),
        text: first.text.clone(),
        admitted,
    }
}

/// One packet on its way through one base chain.
struct Walk<'a> {
    table: &'a Table,
    packet: &'a Packet,
    steps: usize,
    /// Some way accepts the packet.
    accepted: bool,
    /// The first way that drops it.
    dropped: Option<Dropped>,
    /// Why nobody can tell.
    lost: Option<String>,
    admitted: Vec<String>,
    passed: Vec<String>,
}

struct Dropped {
    /// The base chain's rule.
    rule: Option<usize>,
    chains: Vec<String>,
    passed: Vec<String>,
    text: String,
}

impl<'a> Walk<'a> {
    fn new(table: &'a Table, packet: &'a Packet) -> Self {
        let (admitted, passed) = (Vec::new(), Vec::new());
        Self { table, packet, steps: 0, accepted: false, dropped: None, lost: None, admitted, passed }
    }

    /// Whether some way leads out of the end of the chain. `top`: the rule of the base chain that led here.
    fn chain(&mut self, chain: &'a Chain, top: Option<usize>, path: &mut Vec<&'a str>) -> bool {
        let mut returns = false;
        for (index, rule) in chain.rules.iter().enumerate() {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                self.lose("there are too many rules");
            }
            if self.lost.is_some() {
                return false;
            }
            match self.rule(rule, top.unwrap_or(index), path) {
                Next::Goes => {}
                Next::MayReturn => returns = true,
                Next::Returns => return true,
                Next::Ends => return returns,
            }
        }
        true
    }

    fn rule(&mut self, rule: &'a Rule, top: usize, path: &mut Vec<&'a str>) -> Next {
        let holds = self.packet.all(&rule.conditions);
        if holds == Holds::No {
            self.note_admitted(rule);
            return Next::Goes;
        }
        let mut next = Vec::new();
        for branch in &rule.branches {
            let branch_holds = self.packet.all(&branch.conditions);
            if branch_holds == Holds::No {
                continue;
            }
            next.push(self.act(rule, &branch.action, top, path));
            if branch_holds == Holds::Yes {
                return combined(&next, holds == Holds::Yes);
            }
        }
        combined(&next, false)
    }

    fn act(&mut self, rule: &Rule, action: &'a Action, top: usize, path: &mut Vec<&'a str>) -> Next {
        match action {
            Action::Accept => {
                self.accepted = true;
                Next::Ends
            }
            Action::Drop => {
                self.note_spared(rule);
                self.drop(Some(top), path, &rule.text);
                Next::Ends
            }
            Action::Return => Next::Returns,
            Action::Jump(target) | Action::Goto(target) => {
                let table: &'a Table = self.table;
                let Some(chain) = table.chains.iter().find(|chain| chain.name == *target) else {
                    self.lose(&format!("chain {target} is not known"));
                    return Next::Ends;
                };
                if path.len() >= MAX_DEPTH {
                    self.lose("chains lead into each other too often");
                    return Next::Ends;
                }
                path.push(&chain.name);
                if self.passed.len() < MAX_PASSED {
                    self.passed.push(chain.name.clone());
                }
                let returns = self.chain(chain, Some(top), path);
                path.pop();
                match action {
                    Action::Goto(_) if returns => Next::Returns,
                    _ if returns => Next::Goes,
                    _ => Next::Ends,
                }
            }
            Action::Translate => {
                self.lose(&format!(
                    "{} sends these packets on to another address or port ({})",
                    described(self.table),
                    rule.text
                ));
                Next::Ends
            }
            Action::Unknown => {
                self.lose(&format!("the rule \"{}\" of {} can't be interpreted", rule.text, described(self.table)));
                Next::Ends
            }
        }
    }

    fn drop(&mut self, rule: Option<usize>, path: &[&str], text: &str) {
        let chains = path.iter().map(|&name| name.to_owned()).collect();
        let passed = &self.passed;
        self.dropped.get_or_insert_with(|| Dropped { rule, chains, passed: passed.clone(), text: text.to_owned() });
    }

    fn lose(&mut self, reason: &str) {
        self.lost.get_or_insert_with(|| reason.to_owned());
    }

    /// Keeps the sources that the rule would let in.
    fn note_admitted(&mut self, rule: &Rule) {
        let accepts = rule.branches.first().is_some_and(|branch| branch.action == Action::Accept);
        if !accepts || self.admitted.len() >= MAX_SOURCES {
            return;
        }
        if self.named().all(&rule.conditions) != Holds::No {
            self.admitted.extend(named_sources(&rule.conditions).into_iter().take(MAX_SOURCES));
        }
    }

    /// Keeps the sources that a rule which drops all others does not drop.
    fn note_spared(&mut self, rule: &Rule) {
        if self.admitted.len() < MAX_SOURCES && self.named().all(&rule.conditions) == Holds::No {
            self.admitted.extend(named_sources(&rule.conditions).into_iter().take(MAX_SOURCES));
        }
    }

    fn named(&self) -> Packet {
        Packet { from_named_source: true, ..self.packet.clone() }
    }
}

/// Where a packet goes after a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// To the next rule.
    Goes,
    /// Out of the chain.
    Returns,
    /// To the next rule, or out of the chain.
    MayReturn,
    /// Nowhere: its fate in this base chain is known.
    Ends,
}

/// What several ways come to; `certain`: one of them is taken.
fn combined(ways: &[Next], certain: bool) -> Next {
    let goes = !certain || ways.iter().any(|way| matches!(way, Next::Goes | Next::MayReturn));
    let returns = ways.iter().any(|way| matches!(way, Next::Returns | Next::MayReturn));
    match (goes, returns) {
        (true, true) => Next::MayReturn,
        (true, false) => Next::Goes,
        (false, true) => Next::Returns,
        (false, false) => Next::Ends,
    }
}
