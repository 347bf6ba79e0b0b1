// Sorting of the comparison table. Without it the table is in study order.
for (const button of document.querySelectorAll("table.arms thead button")) {
  button.addEventListener("click", () => {
    const header = button.closest("th");
    const column = [...header.parentNode.children].indexOf(header);
    const body = header.closest("table").querySelector("tbody.sortable");
    const down = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentNode.children) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.children[column].dataset.v ?? "";
    const compare = (left, right) => {
      const a = value(left), b = value(right);
      if (a === "" || b === "") return (a === "") - (b === ""); // what has no number stays at the end
      const numbers = Number(a) - Number(b);
      const order = Number.isNaN(numbers) ? a.localeCompare(b, undefined, { numeric: true }) : numbers;
      return down ? -order : order;
    };
    body.append(...[...body.rows].sort(compare));
  });
}
