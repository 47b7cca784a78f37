/* A runtime in C, without a library: runtime.c asks for events and hands in answers; the function is `handle`. */
#include <stdbool.h>
#include <stddef.h>

struct answer {
    char *text;  /* from malloc: JSON, or if it failed a message, escaped as in JSON */
    bool failed;
};

/* Called for each event, which is `length` bytes long and followed by a zero byte. */
struct answer handle(const char *event, size_t length);
