// The copy button of a block with prompts copies what is typed: neither the prompts nor the output.
for (const code of document.querySelectorAll("pre > code:has(.gp)")) {
  const typed = code.cloneNode(true);
  for (const other of typed.querySelectorAll(".gp, .go, .gt")) other.remove();
  const lines = typed.textContent.split("\n").filter((line) => line.trim());
  code.parentElement.setAttribute("data-copy", lines.join("\n"));
}

// An option such as --key is not broken after its hyphens, unless it would not fit on a line of a phone or in a cell.
for (const code of document.querySelectorAll(".md-typeset :is(p, li, dt, dd, td) > code")) {
  const longest = code.parentElement.matches("td") ? 16 : 30;
  if (code.textContent.length < longest) code.style.whiteSpace = "nowrap";
}
