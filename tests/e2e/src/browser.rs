//! Chromium and Firefox without a window, each with a profile that is created and removed with the test.

use std::{ffi::OsStr, fmt, fs, io};

use tempfile::TempDir;

use crate::{certificate::Certificate, program::Program};

/// A browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the browsers that the tests run")]
pub enum Kind {
    /// Debian's `chromium`.
    Chromium,
    /// Debian's `firefox-esr`.
    Firefox,
}

/// A browser that shows a page, until it is dropped.
#[derive(Debug)]
pub struct Browser {
    // Dropped before the profile.
    program: Program,
    _home: TempDir,
}

impl Browser {
    /// Opens this address in a new profile that trusts the certificate's authority.
    ///
    /// # Errors
    ///
    /// Errors if the profile cannot be created, or the program cannot be started.
    pub fn open(kind: Kind, url: &str, trusted: &Certificate) -> io::Result<Self> {
        let home = tempfile::tempdir()?;
        let profile = home.path().join("profile");
        fs::create_dir(&profile)?;
        let profile_argument = profile.display();
        let environment = [("HOME", home.path().as_os_str()), ("MOZ_CRASHREPORTER_DISABLE", OsStr::new("1"))];
        let program = match kind {
            Kind::Chromium => {
                trusted.trust_in(&home.path().join(".pki/nssdb"))?;
                let own = [format!("--user-data-dir={profile_argument}"), url.to_owned()];
                let arguments = CHROMIUM.iter().map(|&flag| flag.to_owned()).chain(own);
                Program::start("chromium", arguments, &environment)?
            }
            Kind::Firefox => {
                trusted.trust_in(&profile)?;
                fs::write(profile.join("user.js"), FIREFOX)?;
                let profile_argument = profile_argument.to_string();
                let arguments = ["--headless", "--no-remote", "--profile", &profile_argument, url];
                Program::start("firefox-esr", arguments, &environment)?
            }
        };
        Ok(Self { program, _home: home })
    }

    /// Returns whether the browser is running.
    pub fn is_running(&mut self) -> bool {
        self.program.is_running()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chromium => "Chromium",
            Self::Firefox => "Firefox",
        })
    }
}

/// As root there is no sandbox. A page may open tabs. The rest keeps the browser from contacting any host but the test's.
const CHROMIUM: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-popup-blocking",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
];

/// No first run, no updates, no telemetry, and no look-up of any host but the test's. A page may open tabs.
const FIREFOX: &str = r#"
user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("app.update.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.newtabpage.enabled", false);
user_pref("browser.region.network.url", "");
user_pref("browser.safebrowsing.blockedURIs.enabled", false);
user_pref("browser.safebrowsing.downloads.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.search.update", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("browser.startup.page", 0);
user_pref("datareporting.healthreport.uploadEnabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("dom.disable_open_during_load", false);
user_pref("dom.push.connection.enabled", false);
user_pref("dom.security.https_first", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.dns.disablePrefetch", true);
user_pref("network.prefetch-next", false);
user_pref("network.proxy.type", 0);
user_pref("network.trr.mode", 5);
user_pref("security.OCSP.enabled", 0);
user_pref("security.remote_settings.crlite_filters.enabled", false);
user_pref("security.remote_settings.intermediates.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("termsofuse.acceptedVersion", 999);
user_pref("toolkit.telemetry.enabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
user_pref("toolkit.telemetry.server", "data:,");
"#;
