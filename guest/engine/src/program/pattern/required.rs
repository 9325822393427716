//! Literals that every match of a pattern contains one of. A text without any of them need not be searched.

use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind};

/// Most literals that stand for one pattern.
const MAX_LITERALS: usize = 16;

/// Longest literal, in bytes; of a longer one a part does.
const MAX_LENGTH: usize = 32;

/// Largest class whose members are tried one by one.
const MAX_MEMBERS: usize = 8;

/// Bytes that are rare enough in texts to look for them alone.
const RARE: &[u8] = b"@$|;`{}<>&!%^~*?#\\";

/// One of the literals is in every text that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::program) struct Required {
    /// Not empty, and none of them is empty. UTF-8, or a part of it.
    pub(in crate::program) literals: Vec<Vec<u8>>,
    /// ASCII letters (lower case in `literals`) stand for both cases.
    pub(in crate::program) ignore_case: bool,
}

/// Finds the literals of a translated pattern, when it has some that are worth looking for.
pub(super) fn required(hir: &Hir) -> Option<Required> {
    let mut finder = Finder { ignore_case: false };
    let found = finder.find(hir);
    let mut literals = found.best()?.texts;
    if finder.ignore_case {
        literals.iter_mut().for_each(|literal| literal.make_ascii_lowercase());
    }
    // What holds another literal says nothing more.
    literals.sort_unstable_by(|one, two| one.len().cmp(&two.len()).then(one.cmp(two)));
    let mut least: Vec<Vec<u8>> = Vec::new();
    for literal in literals {
        if !least.iter().any(|part| literal.windows(part.len().max(1)).any(|window| window == part)) {
            least.push(literal);
        }
    }
    let literals = least;
    let worth = literals.iter().all(|literal| match literal.as_slice() {
        [] => false,
        [byte] => RARE.contains(byte),
        _ => true,
    });
    worth.then_some(Required { literals, ignore_case: finder.ignore_case })
}

/// Some texts, of which one is there.
#[derive(Clone)]
struct Texts {
    texts: Vec<Vec<u8>>,
}

impl Texts {
    fn empty() -> Self {
        Self { texts: vec![Vec::new()] }
    }

    fn shortest(&self) -> usize {
        self.texts.iter().map(Vec::len).min().unwrap_or(0)
    }

    /// How much it says: long texts, and few.
    fn score(&self) -> usize {
        (self.shortest().min(12) * 4).saturating_sub(self.texts.len() / 2)
    }

    /// Each of these followed by each of those, unless that is too much.
    fn then(&self, next: &Self) -> Option<Self> {
        if self.texts.len() * next.texts.len() > MAX_LITERALS {
            return None;
        }
        let texts: Vec<Vec<u8>> = self
            .texts
            .iter()
            .flat_map(|one| next.texts.iter().map(move |two| [one.as_slice(), two].concat()))
            .collect();
        texts.iter().all(|text| text.len() <= MAX_LENGTH).then_some(Self { texts })
    }
}

/// What is known of a part of a pattern.
struct Known {
    /// All that it can match, when that is little.
    exact: Option<Texts>,
    /// One of these is in whatever it matches.
    inside: Option<Texts>,
}

impl Known {
    const NOTHING: Self = Self { exact: None, inside: None };

    fn exact(texts: Texts) -> Self {
        Self { exact: Some(texts), inside: None }
    }

    fn best(self) -> Option<Texts> {
        better(self.exact, self.inside)
    }
}

fn better(one: Option<Texts>, two: Option<Texts>) -> Option<Texts> {
    let worth = |texts: &Texts| texts.shortest() > 0;
    match (one.filter(worth), two.filter(worth)) {
        (Some(one), Some(two)) => Some(if two.score() > one.score() { two } else { one }),
        (one, two) => one.or(two),
    }
}

struct Finder {
    ignore_case: bool,
}

impl Finder {
    fn find(&mut self, hir: &Hir) -> Known {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Known::exact(Texts::empty()),
            HirKind::Literal(literal) => {
                let head = literal.0.get(..MAX_LENGTH);
                let texts = Texts { texts: vec![head.unwrap_or(&literal.0).to_vec()] };
                if head.is_none() || literal.0.len() == MAX_LENGTH {
                    Known::exact(texts)
                } else {
                    Known { exact: None, inside: Some(texts) }
                }
            }
            HirKind::Class(Class::Unicode(class)) => self.class(class).map_or(Known::NOTHING, Known::exact),
            HirKind::Class(Class::Bytes(_)) => Known::NOTHING,
            HirKind::Capture(capture) => self.find(&capture.sub),
            HirKind::Repetition(repetition) => {
                let known = self.find(&repetition.sub);
                match (repetition.min, repetition.max) {
                    (1, Some(1)) => known,
                    (0, Some(1)) => match known.exact {
                        Some(mut texts) if texts.texts.len() < MAX_LITERALS => {
                            texts.texts.push(Vec::new());
                            Known::exact(texts)
                        }
                        _ => Known::NOTHING,
                    },
                    (0, _) => Known::NOTHING,
                    (min, max) => {
                        let rounds = (1..min.min(4))
                            .try_fold(known.exact.clone(), |sum, _| Some(sum.as_ref()?.then(known.exact.as_ref()?)));
                        match rounds.flatten() {
                            Some(all) if max == Some(min) && min <= 4 => Known::exact(all),
                            Some(some) => Known { exact: None, inside: better(Some(some), known.inside) },
                            None => Known { exact: None, inside: known.best() },
                        }
                    }
                }
            }
            HirKind::Concat(parts) => self.concat(parts),
            HirKind::Alternation(parts) => self.alternation(parts),
        }
    }

    fn concat(&mut self, parts: &[Hir]) -> Known {
        let mut run = Texts::empty();
        let mut whole = true;
        let mut inside = None;
        for part in parts {
            let known = self.find(part);
            if let Some(next) = known.exact.as_ref().and_then(|exact| run.then(exact)) {
                run = next;
                continue;
            }
            whole = false;
            inside = better(inside, Some(std::mem::replace(&mut run, Texts::empty())));
            match known.exact {
                Some(exact) => run = exact,
                None => inside = better(inside, known.inside),
            }
        }
        if whole { Known::exact(run) } else { Known { exact: None, inside: better(inside, Some(run)) } }
    }

    fn alternation(&mut self, parts: &[Hir]) -> Known {
        let known: Vec<Known> = parts.iter().map(|part| self.find(part)).collect();
        let all = |sets: Option<Vec<Texts>>| {
            let mut texts: Vec<Vec<u8>> = sets?.into_iter().flat_map(|set| set.texts).collect();
            texts.sort_unstable();
            texts.dedup();
            (!texts.is_empty() && texts.len() <= MAX_LITERALS).then_some(Texts { texts })
        };
        let exact = all(known.iter().map(|one| one.exact.clone()).collect());
        let inside = if exact.is_some() { None } else { all(known.into_iter().map(Known::best).collect()) };
        Known { exact, inside }
    }

    /// The members, one by one. A letter in both cases counts once.
    fn class(&mut self, class: &ClassUnicode) -> Option<Texts> {
        let size: usize = class.iter().map(|range| range.len()).sum();
        if size == 0 || size > MAX_MEMBERS {
            return None;
        }
        let members: Vec<char> = class.iter().flat_map(|range| range.start()..=range.end()).collect();
        let mut texts = Vec::new();
        for member in &members {
            let both = member.is_ascii_alphabetic() && members.contains(&other_case(*member));
            if both && member.is_ascii_uppercase() {
                self.ignore_case = true;
            } else {
                texts.push(member.to_string().into_bytes());
            }
        }
        Some(Texts { texts })
    }
}

const fn other_case(letter: char) -> char {
    if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
}
