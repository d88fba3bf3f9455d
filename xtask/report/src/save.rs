//! A report as people get it: on the terminal, and as files.

use std::fs;

use anyhow::{Context, Result};

use crate::kind::Kind;
use crate::name::Name;
use crate::report::Report;
use crate::{page, tables};

impl Report {
    /// Prints it, and writes all that it is to the directory of `name`.
    pub fn save(&self, kind: &Kind, name: &Name) -> Result<()> {
        print!("{}", tables::of_report(self, kind));
        let directory = name.directory()?;
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        self.write(&directory)?;
        fs::write(directory.join("report.md"), tables::document(self, kind))?;
        let page = directory.join("index.html");
        fs::write(&page, page::page(self, kind)?)?;
        println!("measured for {:.0} s; look at {}", self.about.seconds.measure, page.display());
        Ok(())
    }
}
