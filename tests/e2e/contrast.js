// Returns each text that can be seen, with its contrast to what is behind it, as WCAG 2 computes it: 1 to 21.
(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const pixel = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = ([red, green, blue]) => 0.2126 * linear(red / 255) + 0.7152 * linear(green / 255) + 0.0722 * linear(blue / 255);
  const behind = (each) => {
    const color = getComputedStyle(each).backgroundColor;
    return pixel(color)[3] === 0 && each.parentElement ? behind(each.parentElement) : color;
  };
  const hasText = (each) => [...each.childNodes].some((part) => part.nodeType === Node.TEXT_NODE && part.textContent.trim());
  return [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility() && hasText(each)).map((each) => {
    const [dark, bright] = [light(pixel(getComputedStyle(each).color)), light(pixel(behind(each)))].sort((a, b) => a - b);
    return [(bright + 0.05) / (dark + 0.05), each.textContent.trim().slice(0, 40)];
  });
})()
