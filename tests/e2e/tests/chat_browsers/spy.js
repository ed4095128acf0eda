// Runs in the chat's page: reports what the tab shows, and carries out the test's orders. CONTROL is the test's address.
{
  const load = String(Math.random());
  // A name that stays when the tab is reloaded. The first tab has none of its own.
  window.name ||= "0";

  const list = document.getElementById("lines");
  const state = document.getElementById("state");
  const shown = (item) => item.className === "gap" ? "gap" : item.lastChild.textContent;

  let busy = false, due = false;
  async function report() {
    due = true;
    if (busy) return;
    busy = true;
    while (due) {
      due = false;
      const body = JSON.stringify({ tab: Number(window.name), load, state: state.dataset.state, lines: [...list.children].map(shown) });
      await fetch(`${CONTROL}/report`, { method: "POST", body });
    }
    busy = false;
  }
  const observer = new MutationObserver(report);
  observer.observe(list, { childList: true });
  observer.observe(state, { attributes: true });
  report();

  const orders = {
    open: (tabs) => tabs.forEach(([name, address]) => window.open(address, name)),
    reload: () => location.reload(),
    say: (text) => {
      const form = document.getElementById("say");
      form.elements.text.value = text;
      form.requestSubmit();
    },
  };
  (async () => {
    for (let number = 0; ; number++) {
      const [order, argument] = await (await fetch(`${CONTROL}/orders/${load}/${number}`)).json();
      orders[order](argument);
    }
  })();
}
