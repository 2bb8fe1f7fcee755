// Logs in: posts the token, then shows what stands at this address.

const form = document.getElementById("login");
const problem = document.getElementById("problem");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  problem.hidden = true;
  try {
    const answer = await fetch(`${form.dataset.root}/login`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-receiver-page": "1" },
      body: JSON.stringify({ token: form.elements.token.value }),
    });
    if (answer.ok) {
      location.reload();
      return;
    }
    problem.textContent = (await answer.json()).message;
  } catch (error) {
    problem.textContent = error.message;
  }
  problem.hidden = false;
  button.disabled = false;
  form.elements.token.select();
});
