// An option such as --nice is searched without its dashes, which would exclude the word from the results.
document.querySelector(".md-search__input")?.addEventListener(
  "input",
  ({ target }) => {
    const text = target.value.replace(/(^|\s)-+/g, "$1");
    if (text !== target.value) target.value = text;
  },
  { capture: true },
);
