// The structural similarity (SSIM) of two pictures, given as luma: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment", 2004,
// with the mean over windows of 8 × 8 pixels. 1 means that they are equal. The function has no imports, since it also runs in pages.
export function ssim(one, other, width, height) {
  const side = 8;
  const pixels = side * side;
  const c1 = (0.01 * 255) ** 2;
  const c2 = (0.03 * 255) ** 2;
  let sum = 0;
  let windows = 0;
  for (let top = 0; top + side <= height; top += side) {
    for (let left = 0; left + side <= width; left += side) {
      let a = 0;
      let b = 0;
      let aa = 0;
      let bb = 0;
      let ab = 0;
      for (let y = top; y < top + side; y += 1) {
        for (let x = left; x < left + side; x += 1) {
          const p = one[y * width + x];
          const q = other[y * width + x];
          a += p;
          b += q;
          aa += p * p;
          bb += q * q;
          ab += p * q;
        }
      }
      a /= pixels;
      b /= pixels;
      const varianceA = aa / pixels - a * a;
      const varianceB = bb / pixels - b * b;
      const covariance = ab / pixels - a * b;
      sum += ((2 * a * b + c1) * (2 * covariance + c2)) / ((a * a + b * b + c1) * (varianceA + varianceB + c2));
      windows += 1;
    }
  }
  return sum / windows;
}

// The luma of RGBA bytes (BT.601).
export function luma(rgba) {
  const result = new Float32Array(rgba.length / 4);
  for (let i = 0; i < result.length; i += 1) result[i] = 0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2];
  return result;
}
