/*
 * Answers for values what libinjection says of them. libmodsecurity holds libinjection and exports its functions.
 *
 * Input: for each value its length, four bytes, the lowest first, and its bytes. Output: for each value ten bytes: 1 for SQL injection, 1 for
 * cross-site scripting, and the fingerprint, filled up with zeros.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int libinjection_sqli(const char *value, size_t length, char fingerprint[8]);
int libinjection_xss(const char *value, size_t length);

int main(void) {
    unsigned char head[4];
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        size_t length = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        /* What stands behind a value is read in places. */
        char *value = calloc(length + 8, 1);
        char answer[10] = {0};
        if (value == NULL || fread(value, 1, length, stdin) != length) return 1;
        answer[0] = (char)(libinjection_sqli(value, length, answer + 2) != 0);
        answer[1] = (char)(libinjection_xss(value, length) != 0);
        if (!answer[0]) memset(answer + 2, 0, 8);
        free(value);
        if (fwrite(answer, 1, sizeof answer, stdout) != sizeof answer) return 1;
    }
    return 0;
}
