// The copy button of a block with prompts copies what is typed: neither the prompts nor the output.
for (const code of document.querySelectorAll("pre > code:has(.gp)")) {
  const typed = code.cloneNode(true);
  for (const other of typed.querySelectorAll(".gp, .go, .gt")) other.remove();
  const lines = typed.textContent.split("\n").filter((line) => line.trim());
  code.parentElement.setAttribute("data-copy", lines.join("\n"));
}
