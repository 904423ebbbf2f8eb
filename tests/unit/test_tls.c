/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sign/evp.h"
#include "sign_rows.h"

/*
 * A TLS server whose key is a signer, and its clients, in one thread that never blocks: each connection is a
 * socket pair. The signer is a gate: it signs when the test lets it. The clients' side is libcrypto's default
 * context and libcrypto's own verification.
 */

enum { USED = 5, PAIRS = 4, STEPS_MAX = 100000, WAIT_MS = 60000 };

struct gate {
    struct signer base;
    struct signer *real;
    sem_t arrived, open;
    pthread_t loop; /* the thread that must never wait here */
    bool gone;      /* the token fails when the gate is opened */
};

static enum rc gate_sign(struct signer *s, const struct alg *a, const struct span *inputs, size_t n,
                         struct bytes *ret, struct err *err)
{
    struct gate *g = (struct gate *)s;

    if (pthread_equal(pthread_self(), g->loop))
        return err_set(err, RC_BUG, "test.blocked", "'gate': the loop itself would wait for it");
    (void)sem_post(&g->arrived);
    while (sem_wait(&g->open) != 0)
        ;
    if (g->gone)
        return err_set(err, RC_TOKEN, "hsm.gone", "token 'x': it is gone");
    return signer_sign_as(g->real, a, inputs, n, 1, ret, err);
}

static void gate_free(struct signer *s)
{
    struct gate *g = (struct gate *)s;

    (void)sem_destroy(&g->arrived);
    (void)sem_destroy(&g->open);
    signer_fini(s);
}

static void gate_init(struct gate *g, struct signer *real)
{
    static const struct signer_ops ops = {.sign = gate_sign, .free = gate_free};

    memset(g, 0, sizeof(*g));
    assert_ok(signer_init(&g->base, &ops, KEY_SIGN, "gate", bytes_span(&real->spki), &e));
    g->base.alg = real->alg;
    g->real = real;
    g->loop = pthread_self();
    assert_int_equal(sem_init(&g->arrived, 0, 0), 0);
    assert_int_equal(sem_init(&g->open, 0, 0), 0);
}

static void gate_open(struct gate *g, int times)
{
    for (int i = 0; i < times; i++)
        assert_int_equal(sem_post(&g->open), 0);
}

/* ---- server and clients ---- */

struct pair {
    SSL *server, *client;
    int server_rc, client_rc; /* SSL_get_error of the last step, SSL_ERROR_NONE: done */
};

static X509 *certs[USED];

/* The row's self-signed certificate: the client's trust anchor. */
static X509 *cert_new(const struct row *r)
{
    X509 *cert = X509_new_ex(evp_context(), NULL);
    X509_NAME *name = X509_get_subject_name(cert);
    EVP_PKEY *key = NULL;
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    assert_ok(evp_from_signer(r->signer, &key, &e));
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"gw", -1, -1, 0), 1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    assert_int_equal(X509_set_version(cert, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_int_equal(X509_set_pubkey(cert, r->signer->public_key), 1);
    assert_int_equal(EVP_DigestSignInit_ex(md, NULL, r->signer->alg->digest, evp_context(), NULL, key, NULL),
                     1);
    assert_true(X509_sign_ctx(cert, md) > 0);
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    return cert;
}

static SSL_CTX *server_new(const struct row *r, struct signer *s, int version, bool async)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(evp_context(), NULL, TLS_server_method());
    EVP_PKEY *key = NULL;

    assert_ok(evp_from_signer(s, &key, &e));
    assert_int_equal(SSL_CTX_use_certificate(ctx, certs[r - rows]), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    assert_int_equal(SSL_CTX_check_private_key(ctx), 1);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (async)
        (void)SSL_CTX_set_mode(ctx, SSL_MODE_ASYNC);
    EVP_PKEY_free(key);
    return ctx;
}

static SSL_CTX *client_new(const struct row *r, const char *sigalgs)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    unsigned char *der = NULL;
    int n = i2d_X509(certs[r - rows], &der);
    const unsigned char *p = der;
    X509 *again = d2i_X509(NULL, &p, n);

    assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), again), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (sigalgs != NULL) {
        char *list = mem_str(sigalgs); /* libssl's macro casts const away */
        assert_int_equal(SSL_CTX_set1_sigalgs_list(ctx, list), 1);
        free(list);
    }
    X509_free(again);
    OPENSSL_free(der);
    return ctx;
}

static struct pair pair_new(SSL_CTX *server, SSL_CTX *client)
{
    struct pair p = {SSL_new(server), SSL_new(client), SSL_ERROR_WANT_READ, SSL_ERROR_WANT_READ};
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    assert_int_equal(SSL_set_fd(p.server, fd[0]), 1);
    assert_int_equal(SSL_set_fd(p.client, fd[1]), 1);
    SSL_set_accept_state(p.server);
    SSL_set_connect_state(p.client);
    return p;
}

static void pair_free(struct pair *p)
{
    (void)close(SSL_get_fd(p->server));
    (void)close(SSL_get_fd(p->client));
    SSL_free(p->server);
    SSL_free(p->client);
}

static bool going_on(int rc)
{
    return rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE || rc == SSL_ERROR_WANT_ASYNC;
}

static int step(SSL *ssl, int rc)
{
    if (!going_on(rc))
        return rc;
    ERR_clear_error();
    rc = SSL_do_handshake(ssl);
    return rc == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, rc);
}

/* As far as it goes without the signer. True: it is paused there. */
static bool pair_run(struct pair *p)
{
    for (int i = 0; i < STEPS_MAX && (going_on(p->server_rc) || going_on(p->client_rc)); i++) {
        p->client_rc = step(p->client, p->client_rc);
        p->server_rc = step(p->server, p->server_rc);
        if (p->server_rc == SSL_ERROR_WANT_ASYNC)
            return true;
        if (p->server_rc == SSL_ERROR_SSL)
            return false;
    }
    return false;
}

static void assert_works(struct pair *p)
{
    char text[5] = "";

    if (p->server_rc != SSL_ERROR_NONE || p->client_rc != SSL_ERROR_NONE) {
        ERR_print_errors_fp(stderr);
        fail_msg("server %d, client %d", p->server_rc, p->client_rc);
    }
    assert_int_equal(SSL_get_verify_result(p->client), X509_V_OK);
    assert_int_equal(SSL_write(p->server, "hello", 5), 5);
    assert_int_equal(SSL_read(p->client, text, 5), 5);
    assert_memory_equal(text, "hello", 5);
    assert_int_equal(SSL_write(p->client, "world", 5), 5);
    assert_int_equal(SSL_read(p->server, text, 5), 5);
    assert_memory_equal(text, "world", 5);
}

/* The descriptor that the server waits for while it is paused. */
static int wait_fd(const struct pair *p)
{
    OSSL_ASYNC_FD fd = -1;
    size_t n = 0;

    assert_int_equal(SSL_get_all_async_fds(p->server, NULL, &n), 1);
    assert_int_equal(n, 1);
    assert_int_equal(SSL_get_all_async_fds(p->server, &fd, &n), 1);
    return fd;
}

/* ---- tests ---- */

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* A signer that was set to PSS is for TLS 1.3 alone (evp.h). */
static bool usable(size_t row, int version)
{
    return row != ROW_RSA_PSS || version == TLS1_3_VERSION;
}

static void test_handshake(void **state)
{
    (void)state;
    for (size_t i = 0; i < USED; i++)
        for (size_t v = 0; v < 2; v++)
            for (int async = 0; async < 2; async++) {
                if (!usable(i, versions[v]))
                    continue;
                SSL_CTX *server = server_new(&rows[i], rows[i].signer, versions[v], async != 0);
                SSL_CTX *client = client_new(&rows[i], NULL);
                struct pair p = pair_new(server, client);
                while (pair_run(&p)) {
                    struct pollfd fd = {.fd = wait_fd(&p), .events = POLLIN};
                    assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
                }
                assert_works(&p);
                assert_int_equal(SSL_version(p.client), versions[v]);
                pair_free(&p);
                SSL_CTX_free(server);
                SSL_CTX_free(client);
            }
    evp_async_end();
}

/* What a client insists on: either scheme of an RSA key, and P-384 with its own digest alone. */
static void test_schemes(void **state)
{
    static const struct {
        size_t row;
        int version;
        const char *sigalgs;
        int type; /* of the signature as the client saw it; 0: no handshake */
    } cases[] = {
        {ROW_RSA, TLS1_2_VERSION, "rsa_pkcs1_sha256", EVP_PKEY_RSA},
        {ROW_RSA, TLS1_2_VERSION, "rsa_pss_rsae_sha256", EVP_PKEY_RSA_PSS},
        {ROW_RSA, TLS1_3_VERSION, "rsa_pss_rsae_sha256:rsa_pkcs1_sha256", EVP_PKEY_RSA_PSS},
        {ROW_RSA, TLS1_2_VERSION, "rsa_pss_rsae_sha512:rsa_pkcs1_sha512:rsa_pkcs1_sha256", EVP_PKEY_RSA},
        {ROW_RSA, TLS1_2_VERSION, "rsa_pkcs1_sha512", 0},
        {1, TLS1_2_VERSION, "ECDSA+SHA256:ECDSA+SHA384", EVP_PKEY_EC},
        {1, TLS1_2_VERSION, "ECDSA+SHA512", 0},
        {ROW_ED25519, TLS1_3_VERSION, "ed25519", NID_ED25519},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct row *r = &rows[cases[i].row];
        SSL_CTX *server = server_new(r, r->signer, cases[i].version, false);
        SSL_CTX *client = client_new(r, cases[i].sigalgs);
        struct pair p = pair_new(server, client);
        int type = 0;

        assert_false(pair_run(&p));
        if (cases[i].type == 0) {
            assert_int_equal(p.server_rc, SSL_ERROR_SSL);
        } else {
            assert_works(&p);
            assert_int_equal(SSL_get_peer_signature_type_nid(p.client, &type), 1);
            assert_int_equal(type, cases[i].type);
        }
        ERR_clear_error();
        pair_free(&p);
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

/* While every handshake of the gate's server waits for its signature, the loop serves another one. */
static void paused(size_t row, int version, bool fails)
{
    struct gate g;
    struct pair p[PAIRS];

    gate_init(&g, rows[row].signer);
    SSL_CTX *server = server_new(&rows[row], &g.base, version, true);
    SSL_CTX *client = client_new(&rows[row], NULL);
    SSL_CTX *free_server = server_new(&rows[ROW_P256], rows[ROW_P256].signer, version, false);
    SSL_CTX *free_client = client_new(&rows[ROW_P256], NULL);
    for (size_t i = 0; i < PAIRS; i++) {
        p[i] = pair_new(server, client);
        assert_true(pair_run(&p[i]));
        assert_int_equal(p[i].server_rc, SSL_ERROR_WANT_ASYNC);
    }
    for (size_t i = 0; i < PAIRS; i++) /* helpers are at work on all of them at once */
        while (sem_wait(&g.arrived) != 0)
            ;
    for (size_t i = 0; i < PAIRS; i++) { /* resumed too early, they wait on */
        struct pollfd fd = {.fd = wait_fd(&p[i]), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, 0), 0);
        assert_true(pair_run(&p[i]));
    }
    struct pair other = pair_new(free_server, free_client);
    assert_false(pair_run(&other));
    assert_works(&other);
    pair_free(&other);

    g.gone = fails;
    gate_open(&g, PAIRS);
    for (size_t i = 0; i < PAIRS; i++) {
        struct pollfd fd = {.fd = wait_fd(&p[i]), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
        assert_false(pair_run(&p[i]));
        if (!fails) {
            assert_works(&p[i]);
            continue;
        }
        assert_int_equal(p[i].server_rc, SSL_ERROR_SSL);
        assert_err(err_ossl(&e, RC_SYSTEM, "test.tls", "client '%zu'", i), RC_TOKEN, "hsm.gone");
        assert_non_null(strstr(e.text, "': token 'x': it is gone"));
        p[i].client_rc = step(p[i].client, SSL_ERROR_WANT_READ);
        assert_int_equal(p[i].client_rc, SSL_ERROR_SSL); /* an alert, not a silence */
        ERR_clear_error();
    }
    evp_async_end();
    for (size_t i = 0; i < PAIRS; i++)
        pair_free(&p[i]);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    SSL_CTX_free(free_server);
    SSL_CTX_free(free_client);
    signer_free(&g.base);
}

static void test_paused(void **state)
{
    (void)state;
    for (size_t i = 0; i < USED; i++)
        for (size_t v = 0; v < 2; v++)
            if (usable(i, versions[v]))
                paused(i, versions[v], false);
}

static void test_failing(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2; v++) {
        paused(ROW_P256, versions[v], true);
        paused(ROW_ED25519, versions[v], true);
        paused(ROW_RSA, versions[v], true);
    }
}

/* More handshakes than helpers: the others wait their turn, and all of them end. */
static void test_bounded(void **state)
{
    enum { MANY = EVP_ASYNC_THREADS + 5 };
    static struct pair p[MANY];
    struct gate g;
    int arrived = 0;

    (void)state;
    gate_init(&g, rows[ROW_P256].signer);
    SSL_CTX *server = server_new(&rows[ROW_P256], &g.base, TLS1_3_VERSION, true);
    SSL_CTX *client = client_new(&rows[ROW_P256], NULL);
    for (size_t i = 0; i < MANY; i++) {
        p[i] = pair_new(server, client);
        assert_true(pair_run(&p[i]));
    }
    for (size_t i = 0; i < EVP_ASYNC_THREADS; i++)
        while (sem_wait(&g.arrived) != 0)
            ;
    assert_int_equal(sem_getvalue(&g.arrived, &arrived), 0);
    assert_int_equal(arrived, 0);
    gate_open(&g, MANY);
    for (size_t i = 0; i < MANY; i++) {
        struct pollfd fd = {.fd = wait_fd(&p[i]), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
        assert_false(pair_run(&p[i]));
        assert_works(&p[i]);
        pair_free(&p[i]);
    }
    evp_async_end();
    evp_async_end(); /* nothing left to end */
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    signer_free(&g.base);
}

/* How many entries a folder of this process in /proc has. */
static size_t count(const char *folder)
{
    DIR *d = opendir(folder);
    size_t n = 0;

    assert_non_null(d);
    for (const struct dirent *at = readdir(d); at != NULL; at = readdir(d))
        n += at->d_name[0] != '.';
    assert_int_equal(closedir(d), 0);
    return n;
}

static size_t threads(void)
{
    return count("/proc/self/task");
}

/* Every signature gives its descriptors back, also one whose connection is not closed yet. */
static void test_descriptors(void **state)
{
    size_t before = count("/proc/self/fd");
    SSL_CTX *server = server_new(&rows[ROW_P256], rows[ROW_P256].signer, TLS1_3_VERSION, true);
    SSL_CTX *client = client_new(&rows[ROW_P256], NULL);
    struct pair p[PAIRS];

    (void)state;
    for (size_t i = 0; i < PAIRS; i++) {
        p[i] = pair_new(server, client);
        while (pair_run(&p[i])) {
            struct pollfd fd = {.fd = wait_fd(&p[i]), .events = POLLIN};
            assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
        }
        assert_works(&p[i]);
    }
    evp_async_end();
    assert_int_equal(count("/proc/self/fd"), before + 2 * PAIRS); /* the sockets alone */
    for (size_t i = 0; i < PAIRS; i++)
        pair_free(&p[i]);
    assert_int_equal(count("/proc/self/fd"), before);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

/* Helpers are there when they are needed, are used again, and are gone after the end. */
static void test_helpers(void **state)
{
    size_t before = threads();

    (void)state;
    for (int round = 0; round < 2; round++) {
        SSL_CTX *server = server_new(&rows[ROW_P256], rows[ROW_P256].signer, TLS1_3_VERSION, true);
        SSL_CTX *client = client_new(&rows[ROW_P256], NULL);
        for (int i = 0; i < 3; i++) {
            struct pair p = pair_new(server, client);
            while (pair_run(&p)) {
                struct pollfd fd = {.fd = wait_fd(&p), .events = POLLIN};
                assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
            }
            assert_works(&p);
            pair_free(&p);
        }
        assert_true(threads() > before);
        evp_async_end();
        for (int i = 0; i < STEPS_MAX && threads() > before; i++)
            (void)poll(NULL, 0, 1); /* a thread that was joined stays in /proc for a moment */
        assert_int_equal(threads(), before);
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

static int setup(void **state)
{
    (void)state;
    rows_make(USED);
    for (size_t i = 0; i < USED; i++)
        certs[i] = cert_new(&rows[i]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rows_free();
    for (size_t i = 0; i < USED; i++)
        X509_free(certs[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),   cmocka_unit_test(test_schemes), cmocka_unit_test(test_paused),
        cmocka_unit_test(test_failing),     cmocka_unit_test(test_bounded), cmocka_unit_test(test_helpers),
        cmocka_unit_test(test_descriptors),
    };

    return cmocka_run_group_tests_name("tls", tests, setup, teardown);
}
