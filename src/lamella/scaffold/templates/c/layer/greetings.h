/* What functions share: a library in the layer, /opt/lib/libgreetings.so. */

/* The word for "hello" in a language; NULL if it is not known. */
const char *greetings_word(const char *language);
