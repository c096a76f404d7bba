// The picture that goes with the next message: chosen, pasted or dropped, and shown before.

import { showNothing } from "./view.js";

const LONGEST_SIDE = 1600;

export class PictureBox {
  #input;
  #preview;
  #maxBytes;
  #onChange;
  #picture = null;

  constructor({ form, input, preview, maxBytes }, onChange) {
    this.#input = input;
    this.#preview = preview;
    this.#maxBytes = maxBytes;
    this.#onChange = onChange;
    input.addEventListener("change", () => this.#choose(input.files));
    form.addEventListener("paste", (event) => {
      if (event.clipboardData.files.length === 0) return;
      event.preventDefault();
      this.#choose(event.clipboardData.files);
    });
    form.addEventListener("dragover", (event) => {
      event.preventDefault();
      form.classList.add("target");
    });
    form.addEventListener("dragleave", () => form.classList.remove("target"));
    form.addEventListener("drop", (event) => {
      event.preventDefault();
      form.classList.remove("target");
      this.#choose(event.dataTransfer.files);
    });
    preview.querySelector("img").addEventListener("error", showNothing);
    preview.querySelector("button").addEventListener("click", () => {
      this.#put(null);
      input.focus();
    });
  }

  /** The file to be sent, or null. */
  get picture() {
    return this.#picture;
  }

  /** Give the picture away. */
  take() {
    const picture = this.#picture;
    this.#put(null);
    return picture;
  }

  async #choose([file]) {
    if (!file) return;
    this.#input.value = ""; // So that the same file may be chosen again.
    this.#put(file.size > this.#maxBytes ? await smaller(file) : file);
  }

  #put(picture) {
    const image = this.#preview.querySelector("img");
    if (image.src) URL.revokeObjectURL(image.src);
    this.#picture = picture;
    this.#preview.hidden = picture === null;
    image.style.visibility = "";
    if (picture) image.src = URL.createObjectURL(picture);
    else image.removeAttribute("src");
    this.#onChange();
  }
}

// A photo of a telephone has many megabytes, and the server takes one. What the browser does
// not know as a picture stays as it is: there may be others who do.
async function smaller(file) {
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(bitmap.width * scale);
    canvas.height = Math.round(bitmap.height * scale);
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve) => {
      canvas.toBlob((blob) => resolve(blob ?? file), "image/jpeg", 0.82);
    });
  } catch {
    return file;
  }
}
