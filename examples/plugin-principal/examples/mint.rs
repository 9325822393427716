//! Makes a token: `mint DIRECTORY.json KEY WHO UNTIL [TOOL …]`. UNTIL: seconds since 1970.

use std::error::Error;

use plugin_principal::directory::Directory;
use plugin_principal::token::{self, Grant};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("{what} is missing"));
    let directory = Directory::read(&std::fs::read_to_string(next("DIRECTORY.json")?)?)?;
    let (key, sub, exp) = (next("KEY")?, next("WHO")?, next("UNTIL")?.parse()?);
    let secret = directory.key(&key).ok_or("there is no such key")?;
    println!("{}", token::sign(&Grant { sub, exp, tools: arguments.collect() }, &key, secret)?);
    Ok(())
}
