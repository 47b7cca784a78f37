/* The Runtime API in C: one connection, which stays open as long as the server leaves it open. */
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

static FILE *in, *out; /* both are the connection; NULL while there is none */
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

static void close_connection(void)
{
    fclose(in);
    fclose(out);
    free(host);
    in = out = NULL;
}

/* Appends so many bytes to a body; a zero byte follows it, which does not count. */
static char *read_more(char *body, size_t *length, size_t more)
{
    body = realloc(body, *length + more + 1);
    if (body == NULL || fread(body + *length, 1, more, in) != more)
        fail("the Runtime API has closed the connection");
    *length += more;
    body[*length] = '\0';
    return body;
}

/* Reads an answer; returns its body, to be freed, and stores its length, and the request id if there is one. */
static char *read_answer(size_t *length, char id[static 64])
{
    char *line = NULL, *body = NULL;
    size_t room = 0, size = 0;
    int status = 0;
    bool chunked = false, closing = false;
    *length = 0;
    if (getline(&line, &room, in) < 0 || sscanf(line, "HTTP/1.1 %d", &status) != 1)
        fail("the Runtime API has closed the connection");
    while (getline(&line, &room, in) > 2) { /* up to the empty line */
        if (strncasecmp(line, "content-length:", 15) == 0)
            sscanf(line + 15, "%zu", &size);
        chunked |= strncasecmp(line, "transfer-encoding: chunked", 26) == 0;
        closing |= strncasecmp(line, "connection: close", 17) == 0;
        if (strncasecmp(line, "lambda-runtime-aws-request-id:", 30) == 0)
            sscanf(line + 30, " %63[^ \r\n]", id);
    }
    if (!chunked) {
        body = read_more(body, length, size);
    } else {
        while (getline(&line, &room, in) > 0 && sscanf(line, "%zx", &size) == 1) {
            body = read_more(body, length, size);
            if (getline(&line, &room, in) < 0 || size == 0) /* the end of the line, or of all */
                break;
        }
        if (body == NULL)
            fail("the Runtime API has closed the connection");
    }
    free(line);
    if (closing)
        close_connection();
    if (status >= 300) {
        fprintf(stderr, "bootstrap: the Runtime API answered %d: %s\n", status, body);
        if (status != 413) /* a response that is too large: the caller has been told, and the next event will come */
            exit(1);
    }
    return body;
}

static void begin(const char *method, const char *id, const char *what)
{
    if (out == NULL)
        open_connection();
    fprintf(out, "%s " API "/invocation/%s%s HTTP/1.1\r\nHost: %s\r\n", method, id, what, host);
}

static void end(const char *body, size_t length)
{
    fprintf(out, "\r\n");
    fwrite(body, 1, length, out);
    if (fflush(out) != 0)
        fail("the Runtime API has closed the connection");
}

static void post(const char *id, bool failed, const char *body)
{
    size_t length = strlen(body);
    char nobody[64];
    begin("POST", id, failed ? "/error" : "/response");
    fprintf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", length);
    if (failed)
        fprintf(out, "Lambda-Runtime-Function-Error-Type: Function.HandlerError\r\n");
    end(body, length);
    free(read_answer(&length, nobody));
}

int main(void)
{
    for (;;) {
        size_t length;
        char id[64] = "";
        begin("GET", "next", "");
        end("", 0);
        char *event = read_answer(&length, id); /* waits, for hours if need be */
        struct answer answer = handle(event, length);
        if (answer.failed) {
            char *error;
            if (asprintf(&error, "{\"errorMessage\": \"%s\", \"errorType\": \"Function.HandlerError\"}", answer.text) < 0)
                fail("there is no memory");
            post(id, true, error);
            free(error);
        } else {
            post(id, false, answer.text);
        }
        free(answer.text);
        free(event);
    }
}
