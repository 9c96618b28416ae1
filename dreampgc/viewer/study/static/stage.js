"use strict";
// Several models, each in a canvas of its own, seen by one camera: who turns one turns all.

const FIELD_OF_VIEW = 30; // degrees
// From here a unit sphere fills the view but for a small margin.
const DISTANCE = 1.05 / Math.sin((FIELD_OF_VIEW * Math.PI) / 360);

class Stage {
  // One WebGL context draws for all canvases: browsers allow only a few.
  constructor() {
    this.renderer = new THREE.WebGLRenderer({ alpha: true, antialias: true });
    this.camera = new THREE.PerspectiveCamera(FIELD_OF_VIEW, 1, 0.01, 50);
    this.environment = new THREE.PMREMGenerator(this.renderer).fromScene(new THREE.RoomEnvironment(), 0.04).texture;
    this.panels = [];
    this.pending = false;
    this.sizes = new ResizeObserver(() => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // Take down what is shown and free what the GPU holds of it.
  clear() {
    for (const { controls, scene } of this.panels) {
      controls.dispose();
      scene.traverse(discard);
    }
    this.panels = [];
    this.sizes.disconnect();
    this.face();
  }

  // Show the model at `url` in `canvas`; settles when it is there.
  async show(canvas, url) {
    const panels = this.panels;
    const model = (await new THREE.GLTFLoader().loadAsync(url)).scene;
    if (panels !== this.panels) return model.traverse(discard); // another question came before the model
    fit(model);
    const scene = new THREE.Scene().add(model);
    scene.environment = this.environment;
    const controls = new THREE.OrbitControls(this.camera, canvas);
    Object.assign(controls, { enablePan: false, minDistance: 1.3, maxDistance: 3 * DISTANCE });
    controls.addEventListener("change", () => this.draw());
    canvas.addEventListener("dblclick", () => this.face());
    panels.push({ canvas, scene, controls });
    this.sizes.observe(canvas);
    this.draw();
  }

  // Look from the front, a little from the right and from above.
  face() {
    this.camera.position.setFromSphericalCoords(DISTANCE, 1.3, 0.5);
    this.camera.lookAt(0, 0, 0);
    this.draw();
  }

  // Draw once before the next picture on the screen, however often it is asked for.
  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      for (const panel of this.panels) this.drawPanel(panel);
    });
  }

  drawPanel({ canvas, scene }) {
    const width = Math.round(canvas.clientWidth * devicePixelRatio);
    const height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.renderer.render(scene, this.camera);
    Object.assign(canvas, { width, height }); // which empties it, too
    canvas.getContext("2d").drawImage(this.renderer.domElement, 0, 0);
  }
}

// Move and scale a model so that it fills the unit sphere: methods must not be told apart by their sizes.
function fit(model) {
  const middle = new THREE.Box3().setFromObject(model).getCenter(new THREE.Vector3());
  const point = new THREE.Vector3();
  let radius = 0;
  model.traverse((part) => {
    const positions = part.geometry?.getAttribute("position");
    for (let i = 0; i < (positions?.count ?? 0); i++) {
      point.fromBufferAttribute(positions, i).applyMatrix4(part.matrixWorld);
      radius = Math.max(radius, point.distanceTo(middle));
    }
  });
  if (!(radius > 0)) throw new Error("there is nothing in this model");
  model.position.sub(middle).divideScalar(radius);
  model.scale.divideScalar(radius);
}

function discard(part) {
  part.geometry?.dispose();
  for (const material of [part.material ?? []].flat()) {
    for (const value of Object.values(material)) if (value?.isTexture) value.dispose();
    material.dispose();
  }
}
