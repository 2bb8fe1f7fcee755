// Logs out, by the page's button: it tells where in data-root.

const button = document.getElementById("log-out");

button.addEventListener("click", async () => {
  await fetch(`${button.dataset.root}/logout`, { method: "POST", headers: { "x-receiver-page": "1" } });
  location.reload();
});
