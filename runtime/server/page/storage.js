/** Values that stay in this browser. Where it blocks storage, they last as long as the page. */

const PREFIX = "dragoman.";
const unsaved = new Map();

/** Return a stored value, or `otherwise` if there is none. */
export function load(name, otherwise) {
  if (unsaved.has(name)) return unsaved.get(name);
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Store a value, or remove it if it is null. Return whether the browser has room for it. */
export function save(name, value) {
  unsaved.delete(name);
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
    return true;
  } catch {
    unsaved.set(name, value);
    return false;
  }
}

/** Call a function when another tab changes a value. */
export function onChangeElsewhere(name, callback) {
  addEventListener("storage", (event) => {
    if (event.key === PREFIX + name || event.key === null) callback();
  });
}
