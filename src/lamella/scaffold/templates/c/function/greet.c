/* {"name": "Ada", "language": "fr"} -> {"greeting": "Bonjour, Ada!", "layer": "/opt/lib/libgreetings.so"} */
#include <dlfcn.h>
#include <greetings.h> /* from the layer */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

/* The text of a member of a JSON object, escaped as it is there; NULL if there is none. For flat objects; a program
 * that takes others wants a JSON library. */
static char *text_of(const char *json, const char *member)
{
    char key[64];
    snprintf(key, sizeof key, "\"%s\"", member);
    const char *at = strstr(json, key);
    if (at == NULL)
        return NULL;
    at += strlen(key);
    at += strspn(at, " \t\r\n:");
    if (*at++ != '"')
        return NULL;
    size_t length = 0;
    while (at[length] != '"' && at[length] != '\0')
        length += at[length] == '\\' && at[length + 1] != '\0' ? 2 : 1;
    return strndup(at, length);
}

struct answer handle(const char *event, size_t length)
{
    struct answer answer = {0};
    char *name = text_of(event, "name"), *language = text_of(event, "language");
    const char *word = greetings_word(language != NULL ? language : "en");
    (void)length; /* the event ends with a zero byte as well */
    if (name == NULL) {
        answer.failed = asprintf(&answer.text, "the event has no name") >= 0;
    } else if (word == NULL) {
        answer.failed = asprintf(&answer.text, "there is no greeting in %s", language) >= 0;
    } else {
        Dl_info library = {0};
        dladdr((void *)greetings_word, &library);
        if (asprintf(&answer.text, "{\"greeting\": \"%s, %s!\", \"layer\": \"%s\"}", word, name, library.dli_fname) < 0)
            abort();
    }
    free(name);
    free(language);
    return answer;
}
