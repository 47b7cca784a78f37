/* The Runtime API in C: one connection, which stays open as long as the execution environment lives. */
#include "runtime.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define API "/2018-06-01/runtime"

static FILE *in, *out; /* both are the connection */
static char *host;

static void fail(const char *what)
{
    fprintf(stderr, "bootstrap: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void open_connection(void)
{
    char *address = getenv("AWS_LAMBDA_RUNTIME_API"); /* host:port */
    host = strdup(address != NULL ? address : "");
    char *name = strdup(host), *port = strchr(name, ':');
    if (port == NULL)
        fail("AWS_LAMBDA_RUNTIME_API is no address");
    *port++ = '\0';
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(name, port, &hints, &found) != 0)
        fail("the address of the Runtime API");
    int connection = socket(found->ai_family, found->ai_socktype, 0);
    if (connection < 0 || connect(connection, found->ai_addr, found->ai_addrlen) != 0)
        fail("the Runtime API cannot be reached");
    in = fdopen(connection, "r");
    out = fdopen(dup(connection), "w");
    freeaddrinfo(found);
    free(name);
}

/* Reads an answer; returns its body, to be freed, and stores its length, and the request id if there is one. */
static char *read_answer(size_t *length, char id[static 64])
{
    char *line = NULL;
    size_t room = 0, chunk = 0;
    int status = 0;
    *length = 0;
    if (getline(&line, &room, in) < 0 || sscanf(line, "HTTP/1.1 %d", &status) != 1)
        fail("the Runtime API has closed the connection");
    while (getline(&line, &room, in) > 2) { /* up to the empty line */
        sscanf(line, "%*[^:]: %zu", &chunk);
        if (strncasecmp(line, "content-length:", 15) == 0)
            *length = chunk;
        if (strncasecmp(line, "lambda-runtime-aws-request-id:", 30) == 0)
            sscanf(line + 30, " %63[^ \r\n]", id);
    }
    free(line);
    char *body = malloc(*length + 1);
    if (body == NULL || fread(body, 1, *length, in) != *length)
        fail("the Runtime API has closed the connection");
    body[*length] = '\0';
    if (status >= 300) {
        fprintf(stderr, "bootstrap: the Runtime API answered %d: %s\n", status, body);
        if (status != 413) /* a response that is too large: the caller has been told, and the next event will come */
            exit(1);
    }
    return body;
}

static void post(const char *id, const char *kind, const char *more, const char *body, size_t length)
{
    char nobody[64];
    fprintf(out, "POST " API "/invocation/%s/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%s", id, kind,
            host, more);
    fprintf(out, "Content-Length: %zu\r\n\r\n", length);
    fwrite(body, 1, length, out);
    if (fflush(out) != 0)
        fail("the Runtime API has closed the connection");
    free(read_answer(&length, nobody));
}

int main(void)
{
    open_connection();
    for (;;) {
        size_t length;
        char id[64] = "";
        fprintf(out, "GET " API "/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n", host);
        if (fflush(out) != 0)
            fail("the Runtime API has closed the connection");
        char *event = read_answer(&length, id); /* waits, for hours if need be */
        struct answer answer = handle(event, length);
        if (answer.failed) {
            char *error;
            int size = asprintf(&error, "{\"errorMessage\": \"%s\", \"errorType\": \"HandlerError\"}", answer.text);
            post(id, "error", "Lambda-Runtime-Function-Error-Type: HandlerError\r\n", error, (size_t)size);
            free(error);
        } else {
            post(id, "response", "", answer.text, strlen(answer.text));
        }
        free(answer.text);
        free(event);
    }
}
