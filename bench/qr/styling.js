// Codes of 300 px, plain, and with gradient, round shapes and a picture as logo.
const { JSDOM } = require('jsdom');
const nodeCanvas = require('@napi-rs/canvas');
const { QRCodeStyling } = require('qr-code-styling/lib/qr-code-styling.common.js');

function logo() {
  const canvas = nodeCanvas.createCanvas(256, 256);
  const context = canvas.getContext('2d');
  for (let x = 0; x < 256; x += 4) {
    context.fillStyle = `rgb(${x}, ${255 - x}, 90)`;
    context.fillRect(x, 0, 4, 256);
  }
  return canvas.toDataURL('image/png');
}

const plain = {
  jsdom: JSDOM, nodeCanvas, width: 300, height: 300, data: 'https://sho.rt/spring?qr=4c9',
};
const color = {
  gradient: {
    type: 'linear', rotation: Math.PI / 4,
    colorStops: [{ offset: 0, color: '#5a1e8c' }, { offset: 1, color: '#000000' }],
  },
};
const styled = {
  ...plain, dotsOptions: { type: 'rounded', ...color }, cornersSquareOptions: { type: 'dot', ...color },
  image: logo(), imageOptions: { imageSize: 0.2, hideBackgroundDots: true, saveAsBlob: true },
};

(async () => {
  for (const [name, options] of [['plain', plain], ['styled with logo', styled]]) {
    for (const [format, type] of [['png', 'canvas'], ['svg', 'svg']]) {
      const start = process.cpuUsage();
      let [count, used] = [0, 0];
      while (used < 2) {
        await new QRCodeStyling({ ...options, type }).getRawData(format);
        count += 1;
        const { user, system } = process.cpuUsage(start);
        used = (user + system) / 1e6;
      }
      console.log(`qr-code-styling ${name} ${format} ${count / used}`);
    }
  }
})();
