/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pwd.h>
#include <unistd.h>

#include "folder.h"
#include "hsm/quirks.h"

#define HEAD "schema: keymill.quirks.v1\n"
#define ALL  HEAD "match: {manufacturer: \"*\"}\n"

static const struct proto_token acme = {
    .module = "/opt/acme/lib/libacme-p11.so.2", .manufacturer = "Acme Corp.", .model = "Vault 9"};

/* The folders that are searched, in order (linked with --wrap=scandir). */
static char searched[8][512];
static size_t nsearched;
typedef int filter_fn(const struct dirent *);
typedef int order_fn(const struct dirent **, const struct dirent **);
int __real_scandir(const char *path, struct dirent ***ret, filter_fn *filter, order_fn *order);
int __wrap_scandir(const char *path, struct dirent ***ret, filter_fn *filter, order_fn *order);
int __wrap_scandir(const char *path, struct dirent ***ret, filter_fn *filter, order_fn *order)
{
    if (nsearched < sizeof searched / sizeof searched[0])
        snprintf(searched[nsearched++], sizeof searched[0], "%s", path);
    return __real_scandir(path, ret, filter, order);
}

static int set_up(void **state)
{
    int rc = folder_make(state);
    setenv("KEYMILL_QUIRKS", folder, 1);
    nsearched = 0;
    return rc;
}

static enum rc find(const struct proto_token *t, struct quirks *q, struct err *e)
{
    memset(q, 0x5a, sizeof *q);
    return quirks_find(t, q, e);
}

static struct quirks found(const struct proto_token *t)
{
    struct quirks q;
    struct err e = ERR_INIT;
    if (find(t, &q, &e) != RC_OK)
        fail_msg("%s", e.text);
    return q;
}

/* The one file of the folder holds this text; acme's quirks. */
static struct quirks read_text(const char *text)
{
    put(at("a.yaml"), text);
    return found(&acme);
}

/* The text is refused with this key; what it says begins with the file's path and this. */
static void refused(const char *text, const char *key, const char *says)
{
    struct quirks q;
    struct err e = ERR_INIT;
    char expected[1024];
    put(at("a.yaml"), text);
    snprintf(expected, sizeof expected, "%s%s", at("a.yaml"), says);
    if (find(&acme, &q, &e) != RC_INPUT)
        fail_msg("not refused: %s", text);
    assert_string_equal(e.key, key);
    if (strncmp(e.text, expected, strlen(expected)) != 0)
        fail_msg("'%s' instead of '%s'", e.text, expected);
}

static void assert_nothing_said(const struct quirks *q)
{
    assert_true(!q->name && !q->path && !q->note && !q->worker_per_core && !q->session_copies &&
                !q->signature_der && !q->point_wrapped && !q->params_name && !q->pin_user_password &&
                !q->counts_pins && !q->confine);
    assert_int_equal(q->workers | q->sessions | (int)q->max_sessions, 0);
    assert_int_equal(q->template_omit | q->unreliable, 0);
    for (int c = 0; c < CAPABILITIES; c++)
        assert_false(q->without[c]);
}

static void without_a_file(void **state)
{
    (void)state;
    struct quirks q = found(&acme);
    assert_nothing_said(&q);
    put(at("other.yaml"), HEAD "match: {model: Other}\nsessions: 3\n");
    q = found(&acme);
    assert_nothing_said(&q);
}

static void everything(void **state)
{
    (void)state;
    struct quirks q = read_text(
        ALL "note: measured\nworkers: 3\nsessions: 5\nmax-sessions: 16\nsession-copies: true\n"
            "signature: der\necdh-point: wrapped\nec-params: name\npin-form: user-password\n"
            "pin-count: reported\ntemplate-omit: [sign-recover, modifiable]\n"
            "unreliable:\n  - {flag: local, reason: it is always false}\n"
            "  - {flag: decrypt, reason: never said}\n"
            "without: [ecdh, rsa-pss, destroy]\nconfine:\n  read: [/usr/share/acme]\n  write: [/var/acme]\n");
    assert_string_equal(q.name, "a");
    assert_string_equal(q.path, at("a.yaml"));
    assert_string_equal(q.note, "measured");
    assert_false(q.worker_per_core);
    assert_int_equal(q.workers, 3);
    assert_int_equal(q.sessions, 5);
    assert_int_equal(q.max_sessions, 16);
    assert_true(q.session_copies && q.signature_der && q.point_wrapped && q.params_name &&
                q.pin_user_password && q.counts_pins);
    assert_int_equal(q.template_omit, 1U << PROTO_F_SIGN_RECOVER | 1U << PROTO_F_MODIFIABLE);
    assert_int_equal(q.unreliable, 1U << PROTO_F_LOCAL | 1U << PROTO_F_DECRYPT);
    assert_string_equal(q.unreliable_why[PROTO_F_LOCAL], "it is always false");
    assert_string_equal(q.unreliable_why[PROTO_F_DECRYPT], "never said");
    for (int c = 0; c < CAPABILITIES; c++)
        assert_int_equal(q.without[c], c == CAN_DERIVE || c == CAN_PSS || c == CAN_DESTROY);
    assert_true(q.confine);
    assert_string_equal(q.paths[0].path, "/usr/share/acme");
    assert_false(q.paths[0].write);
    assert_string_equal(q.paths[1].path, "/var/acme");
    assert_true(q.paths[1].write);
    assert_string_equal(q.paths[2].path, "");
    quirks_free(&q);
    assert_null(q.name);
}

static void the_other_words(void **state)
{
    (void)state;
    struct quirks q = read_text(ALL "workers: per-core\nsession-copies: false\nsignature: raw\n"
                                    "ecdh-point: bare\nec-params: oid\npin-form: plain\npin-count: unknown\n"
                                    "template-omit: []\nunreliable: []\nwithout: []\nconfine: {}\n");
    assert_true(q.worker_per_core);
    assert_int_equal(q.workers, 0);
    assert_false(q.session_copies || q.signature_der || q.point_wrapped || q.params_name ||
                 q.pin_user_password || q.counts_pins);
    assert_true(q.confine);
    assert_string_equal(q.paths[0].path, "");
    quirks_free(&q);
    q = read_text(ALL);
    assert_false(q.worker_per_core || q.confine || q.counts_pins);
    quirks_free(&q);
}

/* Every name is a word of the files and comes back as its own bit. */
static void names_are_words(void **state)
{
    (void)state;
    char text[512];
    /* Never about what keeps a key in. */
    static const uint32_t may = 1U << PROTO_F_LOCAL | 1U << PROTO_F_SIGN_RECOVER | 1U << PROTO_F_DECRYPT |
                                1U << PROTO_F_UNWRAP | 1U << PROTO_F_DERIVE;
    for (int f = 0; f < PROTO_FLAGS; f++) {
        snprintf(text, sizeof text, ALL "unreliable: [{flag: %s, reason: x}]\n", flag_name(f));
        if (!(may >> f & 1)) {
            refused(text, "doc.value", ":3: 'unreliable[0].flag'");
            continue;
        }
        struct quirks q = read_text(text);
        assert_int_equal(q.unreliable, 1U << f);
        quirks_free(&q);
    }
    for (int c = 0; c < CAPABILITIES; c++) {
        snprintf(text, sizeof text, ALL "without: [%s]\n", capability_name(c));
        struct quirks q = read_text(text);
        for (int i = 0; i < CAPABILITIES; i++)
            assert_int_equal(q.without[i], i == c);
        quirks_free(&q);
    }
}

static void templates_keep_what_keeps_keys_in(void **state)
{
    (void)state;
    static const enum proto_flag may[] = {PROTO_F_SIGN,   PROTO_F_SIGN_RECOVER, PROTO_F_DECRYPT,
                                          PROTO_F_UNWRAP, PROTO_F_DERIVE,       PROTO_F_MODIFIABLE};
    for (int f = 0; f < PROTO_FLAGS; f++) {
        char text[256], says[512];
        bool allowed = false;
        for (size_t i = 0; i < sizeof may / sizeof may[0]; i++)
            allowed = allowed || (int)may[i] == f;
        snprintf(text, sizeof text, ALL "template-omit: [%s]\n", flag_name(f));
        if (allowed) {
            struct quirks q = read_text(text);
            assert_int_equal(q.template_omit, 1U << f);
            quirks_free(&q);
            continue;
        }
        snprintf(says, sizeof says,
                 ":3: 'template-omit': '%s': of sign, sign-recover, decrypt, unwrap, derive, modifiable, "
                 "public-usage, each once",
                 flag_name(f));
        refused(text, "doc.value", says);
    }
}

static void broken_files_are_named(void **state)
{
    (void)state;
    refused(HEAD, "doc.missing", ":1: 'match': required");
    refused("schema: keymill.profile.v1\nmatch: {model: x}\n", "doc.schema",
            ":1: 'schema': 'keymill.quirks.v1' is required");
    refused(HEAD "match: {}\n", "quirks.match", ":2: 'match': a pattern for manufacturer, model or module");
    refused(HEAD "match: {serial: x}\n", "quirks.match", ":2: 'match': a pattern");
    refused(HEAD "match: {model: x, serial: x}\n", "doc.unknown-key", ":2: 'match.serial': unknown key");
    refused(HEAD "match: {model: \"\"}\n", "doc.value", ":2: 'match.model': a string is required");
    refused(ALL "colour: red\n", "doc.unknown-key", ":3: 'colour': unknown key");
    refused(ALL "workers: 2\nworkers: 3\n", "doc.duplicate", ":4: a key is given twice");
    refused(ALL "workers: [\n", "doc.syntax", ":4: not valid YAML");
    refused(ALL "workers: many\n", "doc.value", ":3: 'workers': per-core or an integer from 1 to 64");
    refused(ALL "workers: 65\n", "doc.value", ":3: 'workers': an integer from 1 to 64");
    refused(ALL "sessions: 0\n", "doc.value", ":3: 'sessions': an integer from 1 to 64");
    refused(ALL "max-sessions: x\n", "doc.value", ":3: 'max-sessions': an integer from 1 to");
    refused(ALL "session-copies: 1\n", "doc.value", ":3: 'session-copies': true or false");
    refused(ALL "signature: DER\n", "doc.value", ":3: 'signature': one of 'raw', 'der'");
    refused(ALL "ecdh-point: raw\n", "doc.value", ":3: 'ecdh-point': one of 'bare', 'wrapped'");
    refused(ALL "ec-params: curve\n", "doc.value", ":3: 'ec-params': one of 'oid', 'name'");
    refused(ALL "pin-form: user\n", "doc.value", ":3: 'pin-form': one of 'plain', 'user-password'");
    refused(ALL "pin-count: true\n", "doc.value", ":3: 'pin-count': one of 'unknown', 'reported'");
    refused(ALL "template-omit: modifiable\n", "doc.value", ":3: 'template-omit': a list is required");
    refused(ALL "template-omit: [modifiable, modifiable]\n", "doc.value",
            ":3: 'template-omit': 'modifiable': of ");
    refused(ALL "unreliable: [local]\n", "doc.value", ":3: 'unreliable[0]': a map is required");
    refused(ALL "unreliable:\n  - {flag: local, reason: x}\n  - {flag: locale, reason: x}\n", "doc.value",
            ":5: 'unreliable[1].flag': 'locale': of local, sign-recover,");
    refused(ALL "unreliable:\n  - {flag: local, reason: x}\n  - {flag: local, reason: x}\n", "doc.value",
            ":5: 'unreliable[1].flag': 'local': of local, sign-recover,");
    refused(ALL "unreliable: [{flag: local}]\n", "doc.missing", ":3: 'unreliable[0].reason': required");
    refused(ALL "without: [flying]\n", "doc.value", ":3: 'without': 'flying': of ecdh, rsa-pss,");
    refused(ALL "without: [ecdh, ecdh]\n", "doc.value", ":3: 'without': 'ecdh': of ");
    refused(ALL "note: [x]\n", "doc.value", ":3: 'note': a string is required");
}

static void broken_paths_are_named(void **state)
{
    (void)state;
    char text[1024];
    refused(ALL "confine: yes\n", "doc.value", ":3: 'confine': a map is required");
    refused(ALL "confine: {execute: [/x]}\n", "doc.unknown-key", ":3: 'confine.execute': unknown key");
    refused(ALL "confine:\n  read:\n    - /x\n    - x\n", "quirks.path",
            ":4: 'confine.read': 'x': a path is absolute, or begins with ~ or with $NAME");
    refused(ALL "confine: {write: [~other/x]}\n", "quirks.path", ":3: 'confine.write': '~other/x': ");
    refused(ALL "confine: {write: [$1/x]}\n", "quirks.path", ":3: 'confine.write': '$1/x': ");
    refused(ALL "confine: {write: [$A-B]}\n", "quirks.path", ":3: 'confine.write': '$A-B': ");
    refused(ALL "confine: {write: [/]}\n", "quirks.path",
            ":3: 'confine.write': '/': a folder or file below / is required");
    refused(ALL "confine: {from-settings: [{files: [/x], access: read}]}\n", "doc.missing",
            ":3: 'confine.from-settings[0].setting': required");
    refused(ALL "confine: {from-settings: [{setting: a, files: [], access: read}]}\n", "quirks.path",
            ":3: 'confine.from-settings[0].files': at least one");
    refused(ALL "confine: {from-settings: [{setting: a, files: [x], access: read}]}\n", "quirks.path",
            ":3: 'confine.from-settings[0].files': 'x': a path");
    refused(ALL "confine: {from-settings: [{setting: a, files: [/x], default: x, access: read}]}\n",
            "quirks.path", ":3: 'confine.from-settings[0].default': 'x': a path");
    refused(ALL "confine: {from-settings: [{setting: a, files: [/x], access: both}]}\n", "doc.value",
            ":3: 'confine.from-settings[0].access': one of 'read', 'write'");
    snprintf(text, sizeof text, ALL "confine: {read: [/%0*d]}\n", PROTO_PATH_MAX - 1, 0);
    refused(text, "quirks.path", ":3: 'confine.read': '/000");
    strcpy(text, ALL "confine: {read: [/0");
    for (int i = 1; i <= PROTO_PATHS; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), ", /%d", i);
    refused(strcat(text, "]}\n"), "quirks.path", ":3: 'confine.read': '/16': at most 16 paths");
    /* The form is checked in files that do not fit, too. */
    refused(HEAD "match: {model: other}\nconfine: {read: [x]}\n", "quirks.path", ":3: 'confine.read': 'x'");
}

static void paths_stand_for_places(void **state)
{
    (void)state;
    setenv("QT_HOME", "/srv/acme", 1);
    setenv("QT_EMPTY", "", 1);
    unsetenv("QT_UNSET");
    setenv("HOME", "/home/acme", 1);
    struct quirks q = read_text(
        ALL "confine:\n  read: [$QT_HOME, $QT_HOME/lib, $QT_UNSET/x, $QT_EMPTY/x, ~/.acme, /etc/acme]\n"
            "  write: [$QT_HOME/lib]\n");
    assert_string_equal(q.paths[0].path, "/srv/acme");
    assert_string_equal(q.paths[1].path, "/srv/acme/lib");
    assert_true(q.paths[1].write); /* named twice: the wider one */
    assert_string_equal(q.paths[2].path, "/home/acme/.acme");
    assert_string_equal(q.paths[3].path, "/etc/acme");
    assert_false(q.paths[0].write || q.paths[2].write || q.paths[3].write);
    assert_string_equal(q.paths[4].path, "");
    quirks_free(&q);

    unsetenv("HOME");
    q = read_text(ALL "confine: {read: [~]}\n");
    assert_string_equal(q.paths[0].path, getpwuid(getuid())->pw_dir);
    quirks_free(&q);

    setenv("QT_HOME", "/", 1);
    refused(ALL "confine: {read: [$QT_HOME]}\n", "quirks.path", ":3: 'confine.read': '/': ");
}

#define SETTINGS                                                                                             \
    ALL "confine:\n  from-settings:\n    - setting: dir.tokens\n      files: [$QT_CONF, ~/own.conf]\n"       \
        "      default: /var/acme\n      access: write\n"

static void two_paths(const struct quirks *q, const char *conf, const char *dir)
{
    assert_string_equal(q->paths[0].path, conf);
    assert_false(q->paths[0].write);
    assert_string_equal(q->paths[1].path, dir);
    assert_true(q->paths[1].write);
    assert_string_equal(q->paths[2].path, "");
}

static void settings_name_places(void **state)
{
    (void)state;
    char expected[600], cwd[256];
    setenv("HOME", folder, 1);
    setenv("QT_CONF", at("conf"), 1);
    put(at("conf"), "# dir.tokens = /wrong\nxdir.tokens = /wrong\n dir.tokens\t=  /first \r\n"
                    "dir.tokens = /srv/my tokens # here\ndir.tokens =\nlog = x");
    put(at("own.conf"), "dir.tokens=/own");
    struct quirks q = read_text(SETTINGS);
    two_paths(&q, at("conf"), "/srv/my tokens");
    quirks_free(&q);

    unsetenv("QT_CONF"); /* the next file */
    q = read_text(SETTINGS);
    two_paths(&q, at("own.conf"), "/own");
    quirks_free(&q);

    put(at("own.conf"), "other = /own\n"); /* no such setting */
    q = read_text(SETTINGS);
    two_paths(&q, at("own.conf"), "/var/acme");
    quirks_free(&q);

    put(at("own.conf"), "dir.tokens = rel/tokens\n"); /* the module runs where we do */
    assert_int_equal(chdir(folder), 0);
    snprintf(expected, sizeof expected, "%s/rel/tokens", getcwd(cwd, sizeof cwd));
    q = read_text(SETTINGS);
    two_paths(&q, at("own.conf"), expected);
    quirks_free(&q);

    assert_int_equal(unlink(at("own.conf")), 0); /* no file */
    q = read_text(SETTINGS);
    assert_string_equal(q.paths[0].path, "/var/acme");
    assert_true(q.paths[0].write);
    assert_string_equal(q.paths[1].path, "");
    quirks_free(&q);

    put(at("own.conf"), "dir.tokens = /\n");
    refused(SETTINGS, "quirks.path", ":5: 'confine.from-settings[0].setting': '/': a folder");
}

static void a_folder_is_no_configuration(void **state)
{
    (void)state;
    struct quirks q;
    struct err e = ERR_INIT;
    setenv("QT_CONF", folder, 1);
    put(at("a.yaml"), SETTINGS);
    assert_int_equal(find(&acme, &q, &e), RC_INPUT);
    assert_string_equal(e.key, "file.kind");
}

static void patterns(void **state)
{
    (void)state;
    static const struct {
        const char *match;
        bool fits;
    } rows[] = {
        {"manufacturer: Acme Corp.", true},
        {"manufacturer: Acme", false},
        {"manufacturer: acme corp.", false},
        {"manufacturer: Acme*", true},
        {"manufacturer: \"*Corp.\"", true},
        {"manufacturer: \"*me*or*.\"", true},
        {"manufacturer: \"*Corp\"", false},
        {"manufacturer: \"**\"", true},
        {"manufacturer: Acme Corp?", false}, /* '?' and '[' are themselves */
        {"manufacturer: \"[A]cme Corp.\"", false},
        {"module: libacme-p11.so*", true},
        {"module: \"*/libacme-p11.so.2\"", false}, /* without its folder */
        {"module: \"*opt*\"", false},
        {"model: Vault 9", true},
        {"{manufacturer: Acme*, model: Vault 8}", false},
        {"{manufacturer: Acme*, model: Vault*, module: \"*p11*\"}", true},
        {"{model: Vault*, module: other*}", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, rows[i].match[0] == '{' ? HEAD "match: %s\n" : HEAD "match: {%s}\n",
                 rows[i].match);
        struct quirks q = read_text(text);
        if ((q.name != NULL) != rows[i].fits)
            fail_msg("%s", rows[i].match);
        quirks_free(&q);
    }
}

static void first_fit_wins(void **state)
{
    (void)state;
    struct quirks q;
    struct err e = ERR_INIT;
    put(at("30.yaml"), ALL "sessions: 30\n");
    put(at("20.yaml"), ALL "sessions: 20\n");
    put(at("10.yaml"), HEAD "match: {model: other}\nsessions: 10\n");
    q = found(&acme);
    assert_string_equal(q.name, "20");
    assert_int_equal(q.sessions, 20);
    quirks_free(&q);
    /* Files behind the fit are checked all the same. */
    put(at("40.yaml"), ALL "sessions: x\n");
    assert_int_equal(find(&acme, &q, &e), RC_INPUT);
    assert_non_null(strstr(e.text, "40.yaml:3: 'sessions'"));
}

static void file_names(void **state)
{
    (void)state;
    static const char *const wrong[] = {"a b.yaml", "-a.yaml", "a.yml"};
    struct quirks q;
    put(at(".hidden.yaml"), "x");
    put(at("a.yaml~"), "x");
    put(at("README"), "x");
    q = found(&acme);
    assert_null(q.name);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct err e = ERR_INIT;
        put(at(wrong[i]), ALL);
        assert_int_equal(find(&acme, &q, &e), RC_INPUT);
        assert_string_equal(e.key, "quirks.name");
        assert_non_null(strstr(e.text, wrong[i]));
        assert_int_equal(unlink(at(wrong[i])), 0);
    }
}

static char *installed_folder(void)
{
    char *path = NULL;
    struct err e = ERR_INIT;
    assert_int_equal(path_data("quirks", &path, &e), RC_OK);
    return path;
}

static void folders_in_order(void **state)
{
    (void)state;
    struct quirks q = found(&acme); /* nothing fits: all three are searched */
    char *installed = installed_folder();
    assert_int_equal(nsearched, 3);
    assert_string_equal(searched[0], folder);
    assert_string_equal(searched[1], "/etc/keymill/quirks");
    assert_string_equal(searched[2], installed);
    free(installed);

    nsearched = 0;
    q = read_text(ALL);
    assert_int_equal(nsearched, 1);
    quirks_free(&q);

    nsearched = 0;
    setenv("KEYMILL_QUIRKS", "", 1);
    q = found(&acme);
    assert_int_equal(nsearched, 2);
    assert_string_equal(searched[0], "/etc/keymill/quirks");

    struct err e = ERR_INIT;
    setenv("KEYMILL_QUIRKS", at("absent"), 1); /* named, so it must be there */
    assert_system(find(&acme, &q, &e), &e, "quirks.folder", at("absent"), ENOENT);
}

/* The installed files: each is read, and fits what it is for. */
static void installed_files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *module, *manufacturer, *model;
    } rows[] = {
        {"softhsm2", "/usr/lib/softhsm/libsofthsm2.so", "SoftHSM project", "SoftHSM v2"},
        {"yubihsm2", "/usr/lib/x86_64-linux-gnu/pkcs11/yubihsm_pkcs11.so", "Yubico (www.yubico.com)",
         "YubiHSM"},
        {"luna", "/usr/safenet/lunaclient/lib/libCryptoki2_64.so", "x", "x"},
        {"nshield", "/opt/nfast/toolkits/pkcs11/libcknfast.so", "nCipher Corp. Ltd", ""},
        {"cloudhsm", "/opt/cloudhsm/lib/libcloudhsm_pkcs11.so", "x", "x"},
        {"google-kms", "/opt/libkmsp11.so", "Google", "x"},
        {NULL, "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "www.CardContact.de", "PKCS#15 emulated"},
    };
    put(at("conf"), "directories.tokendir = /srv/tokens\n");
    setenv("SOFTHSM2_CONF", at("conf"), 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct proto_token t = {.initialised = 1};
        snprintf(t.module, sizeof t.module, "%s", rows[i].module);
        snprintf(t.manufacturer, sizeof t.manufacturer, "%s", rows[i].manufacturer);
        snprintf(t.model, sizeof t.model, "%s", rows[i].model);
        struct quirks q = found(&t);
        if (!rows[i].name) {
            assert_null(q.name);
            continue;
        }
        assert_non_null(q.name);
        assert_string_equal(q.name, rows[i].name);
        assert_non_null(q.note);
        if (i == 0) {
            assert_true(q.worker_per_core && q.session_copies && q.counts_pins && q.confine);
            assert_int_equal(q.sessions, 1);
            two_paths(&q, at("conf"), "/srv/tokens");
        } else {
            assert_memory_equal(q.note, "From documents, not run.", 24);
            assert_false(q.confine);
        }
        assert_int_equal(q.pin_user_password, strcmp(rows[i].name, "cloudhsm") == 0);
        quirks_free(&q);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(without_a_file),
        TEST(everything),
        TEST(the_other_words),
        TEST(names_are_words),
        TEST(templates_keep_what_keeps_keys_in),
        TEST(broken_files_are_named),
        TEST(broken_paths_are_named),
        TEST(paths_stand_for_places),
        TEST(settings_name_places),
        TEST(a_folder_is_no_configuration),
        TEST(patterns),
        TEST(first_fit_wins),
        TEST(file_names),
        TEST(folders_in_order),
        TEST(installed_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
