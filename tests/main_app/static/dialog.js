// Make the warning a modal dialog. Without scripts it is a plain part of its page, with the same two ways out.
"use strict";

const dialog = document.querySelector("dialog");
const cancel = document.getElementById("cancel");

dialog.close();
dialog.showModal();
cancel.focus();
dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  location.assign(cancel.href);
});
