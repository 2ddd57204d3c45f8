/*
 * Runs a plan of `npm run bench -- waf` with libmodsecurity: see native/waf/examples/plan.rs for plans and answers.
 */
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDS_MAX 512
#define SAMPLES_MAX 200000
#define WARM_UP 5

static int ids[IDS_MAX];
static int id_count;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why == NULL ? "failed" : why);
    exit(1);
}

/* A rule reports: its id stands in the line for the log. */
static void report(void *data, const void *line) {
    (void)data;
    const char *at = strstr((const char *)line, "[id \"");
    if (at != NULL && id_count < IDS_MAX) ids[id_count++] = atoi(at + 5);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t resident_bytes(void) {
    char line[256];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    if (f == NULL) return 0;
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "VmRSS: %" SCNu64, &kib) == 1) break;
    }
    fclose(f);
    return kib * 1024;
}

static char *read_file(const char *path, size_t *length) {
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail(path, "cannot be read");
    fseek(f, 0, SEEK_END);
    *length = (size_t)ftell(f);
    rewind(f);
    char *out = calloc(*length + 1, 1);
    if (out == NULL || fread(out, 1, *length, f) != *length) fail(path, "cannot be read");
    fclose(f);
    return out;
}

/* A request as HTTP/1.1 has it, split once; lines end with NULs. */
struct request {
    char *method, *target, *version, *fields, *body;
    size_t body_length;
};

static struct request split(char *text, size_t length) {
    struct request r;
    char *end = strstr(text, "\r\n\r\n");
    if (end == NULL) fail("request", "has no head");
    r.body = end + 4;
    r.body_length = length - (size_t)(r.body - text);
    end[2] = 0;
    char *line = strstr(text, "\r\n");
    *line = 0;
    r.fields = line + 2;
    r.method = strtok(text, " ");
    r.target = strtok(NULL, " ");
    r.version = strtok(NULL, " ") + 5;
    return r;
}

static void add_fields(Transaction *t, const char *at) {
    for (const char *end; (end = strstr(at, "\r\n")) != NULL; at = end + 2) {
        const char *colon = strstr(at, ": ");
        if (colon == NULL || colon > end) continue;
        msc_add_n_request_header(t, (const unsigned char *)at, (size_t)(colon - at), (const unsigned char *)colon + 2,
                                 (size_t)(end - colon - 2));
    }
}

static void inspect(ModSecurity *engine, RulesSet *rules, const struct request *r) {
    id_count = 0;
    Transaction *t = msc_new_transaction(engine, rules, NULL);
    msc_process_connection(t, "192.0.2.7", 50000, "192.0.2.1", 80);
    msc_process_uri(t, r->target, r->method, r->version);
    add_fields(t, r->fields);
    msc_process_request_headers(t);
    if (r->body_length > 0) msc_append_request_body(t, (const unsigned char *)r->body, r->body_length);
    msc_process_request_body(t);
    msc_add_response_header(t, (const unsigned char *)"content-type", (const unsigned char *)"application/json");
    msc_process_response_headers(t, 200, "HTTP/1.1");
    msc_process_response_body(t);
    msc_process_logging(t);
    msc_transaction_cleanup(t);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int by_id(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

/* Median of what each inspection takes. One of more than a tenth of the time is timed once. */
static uint64_t median(ModSecurity *engine, RulesSet *rules, const struct request *r, uint64_t millis) {
    static uint64_t each[SAMPLES_MAX];
    size_t count = 0;
    uint64_t begin = now_ns();
    inspect(engine, rules, r);
    uint64_t first = now_ns() - begin;
    if (first > millis * 100000) return first;
    for (int i = 1; i < WARM_UP; i++) inspect(engine, rules, r);
    while (count < 3 || (count < SAMPLES_MAX && now_ns() - begin < millis * 1000000)) {
        uint64_t from = now_ns();
        inspect(engine, rules, r);
        each[count++] = now_ns() - from;
    }
    qsort(each, count, sizeof each[0], by_value);
    return each[count / 2];
}

static void print_ids(void) {
    qsort(ids, (size_t)id_count, sizeof ids[0], by_id);
    for (int i = 0, first = 1; i < id_count; i++) {
        if (i > 0 && ids[i] == ids[i - 1]) continue;
        printf("%s%d", first ? "" : ",", ids[i]);
        first = 0;
    }
}

int main(int argc, char **argv) {
    size_t length;
    uint64_t millis = 0, times = 0, load_ns = 0, before = resident_bytes();
    if (argc != 2) fail("usage", "plan FILE");
    char *plan = read_file(argv[1], &length), *rest = NULL;
    ModSecurity *engine = msc_init();
    msc_set_log_cb(engine, report);
    RulesSet *rules = msc_create_rules_set();
    int loaded = 0;
    for (char *line = strtok_r(plan, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char *path = strchr(line, '\t');
        if (path == NULL) fail(line, "is no line of a plan");
        *path++ = 0;
        if (strcmp(line, "millis") == 0) millis = strtoull(path, NULL, 10);
        if (strcmp(line, "times") == 0) times = strtoull(path, NULL, 10);
        if (strcmp(line, "rules") == 0) {
            const char *why = NULL;
            uint64_t from = now_ns();
            if (msc_rules_add_file(rules, path, &why) < 0) fail(path, why);
            load_ns += now_ns() - from;
        }
        if (strcmp(line, "request") != 0) continue;
        if (!loaded) {
            printf("load\t%" PRIu64 "\nmemory\t%" PRIu64 "\n", load_ns, resident_bytes() - before);
            loaded = 1;
        }
        char *name = strchr(path, '\t');
        *name++ = 0;
        char *text = read_file(path, &length);
        struct request r = split(text, length);
        for (uint64_t i = 0; i < times; i++) inspect(engine, rules, &r);
        if (times == 0) {
            printf("request\t%s\t%" PRIu64 "\t", name, median(engine, rules, &r, millis));
            print_ids();
            printf("\n");
            fflush(stdout);
        }
        free(text);
    }
    free(plan);
    msc_rules_cleanup(rules);
    msc_cleanup(engine);
    return 0;
}
