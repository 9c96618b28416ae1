/* Meshes to turn. All views are drawn by one WebGL context, for a browser gives a page only so many, and then copied
   to plain canvases; a picture is drawn only when something in it changed. */
"use strict";

const CLAY = 0xb4b4b4;
/* Where a view begins: the object's front, seen from the right and from above, as large as it fits. */
const HOME = { azimuth: 30, elevation: 18, fov: 35 };

/* Normals of the world as colours, as `dreampgc render --mode normals` draws them. */
const NORMALS = {
    vertexShader: `varying vec3 direction;
        void main() {
            direction = mat3(modelMatrix) * normal;
            gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
        }`,
    fragmentShader: `varying vec3 direction;
        void main() { gl_FragColor = vec4(normalize(direction) * 0.5 + 0.5, 1.0); }`,
};

/* The renderer that all views share. */
class Studio {
    constructor() {
        this.renderer = new THREE.WebGLRenderer({ antialias: true, alpha: true });
        this.renderer.setScissorTest(true);
        this.width = this.height = 0;
        this.waiting = new Set();
    }

    /* Draw a view with the next frame of the screen. */
    request(view) {
        if (this.waiting.size === 0) requestAnimationFrame(() => this.drawWaiting());
        this.waiting.add(view);
    }

    drawWaiting() {
        const views = [...this.waiting];
        this.waiting.clear();
        for (const view of views) this.draw(view);
    }

    draw(view) {
        const { canvas } = view;
        const [width, height] = [canvas.width, canvas.height];
        if (width === 0 || height === 0) return;
        if (width > this.width || height > this.height) {
            [this.width, this.height] = [Math.max(width, this.width), Math.max(height, this.height)];
            this.renderer.setSize(this.width, this.height, false);
        }
        this.renderer.setViewport(0, 0, width, height);
        this.renderer.setScissor(0, 0, width, height);
        this.renderer.render(view.scene, view.camera);
        const context = canvas.getContext("2d");
        context.clearRect(0, 0, width, height);
        /* WebGL counts rows from below. */
        context.drawImage(this.renderer.domElement, 0, this.height - height, width, height, 0, 0, width, height);
    }
}

/* One mesh on one canvas. `onturn` is called when a person turned it. */
class View {
    constructor(studio, canvas) {
        this.studio = studio;
        this.canvas = canvas;
        this.radius = 1;
        this.onturn = () => {};
        this.scene = new THREE.Scene();
        /* A bright sky and a bright floor; an environment map would look hardly better, and without a GPU it takes
           seconds until the first picture. */
        this.scene.add(new THREE.HemisphereLight(0xffffff, 0x8f8b86, 2.1));
        this.camera = new THREE.PerspectiveCamera(HOME.fov, 1, 0.01, 100);
        /* From above on the left of whoever looks. */
        const key = new THREE.DirectionalLight(0xffffff, 1.6);
        key.position.set(-0.8, 1.2, 1.4);
        this.camera.add(key, key.target);
        this.scene.add(this.camera);
        this.controls = new THREE.OrbitControls(this.camera, canvas);
        /* The wheel belongs to the page until somebody takes hold of the view. */
        this.controls.enableZoom = false;
        canvas.addEventListener("focus", () => { this.controls.enableZoom = true; });
        canvas.addEventListener("blur", () => { this.controls.enableZoom = false; });
        canvas.addEventListener("pointerdown", () => canvas.focus());
        canvas.addEventListener("keydown", (event) => this.onKey(event));
        this.controls.addEventListener("change", () => {
            studio.request(this);
            if (!this.following) this.onturn(this);
        });
        this.reset();
        new ResizeObserver(() => this.fit()).observe(canvas);
    }

    /* Show a GLB file (an ArrayBuffer); rejects with what is wrong with it. */
    async load(content) {
        const { scene } = await new THREE.GLTFLoader().parseAsync(content, "");
        const box = new THREE.Box3().setFromObject(scene);
        scene.position.sub(box.getCenter(new THREE.Vector3()));
        this.radius = box.getSize(new THREE.Vector3()).length() / 2 || 1;
        this.scene.add(scene);
        this.meshes = [];
        scene.traverse((object) => { if (object.isMesh) this.meshes.push(object); });
        for (const mesh of this.meshes) this.equip(mesh);
        this.show("shaded");
    }

    /* Give a mesh a material for each mode. */
    equip(mesh) {
        const shaded = mesh.material;
        const { map, vertexColors } = shaded;
        const clay = new THREE.MeshStandardMaterial({
            color: CLAY, roughness: 0.9, polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1,
        });
        mesh.userData.materials = {
            shaded,
            albedo: new THREE.MeshBasicMaterial({ map, vertexColors }),
            clay,
            normals: new THREE.ShaderMaterial(NORMALS),
            wireframe: clay,
        };
        const lines = new THREE.MeshBasicMaterial({
            color: 0x1d3a5f, wireframe: true, transparent: true, opacity: 0.55,
        });
        mesh.userData.lines = new THREE.Mesh(mesh.geometry, lines);
        mesh.add(mesh.userData.lines);
    }

    show(mode) {
        for (const mesh of this.meshes ?? []) {
            mesh.material = mesh.userData.materials[mode];
            mesh.userData.lines.visible = mode === "wireframe";
        }
        this.studio.request(this);
    }

    /* Where the camera stands, for another view to follow. */
    get place() {
        return { position: this.camera.position.clone(), target: this.controls.target.clone() };
    }

    follow({ position, target }) {
        this.following = true;
        this.camera.position.copy(position);
        this.controls.target.copy(target);
        this.controls.update();
        this.following = false;
    }

    /* Back to the front; `radius` is that of the largest of the objects seen together. */
    reset(radius = this.radius) {
        const [azimuth, elevation] = [HOME.azimuth, HOME.elevation].map((degrees) => degrees * Math.PI / 180);
        const distance = 1.04 * radius / Math.sin(HOME.fov * Math.PI / 360);
        const position = new THREE.Vector3().setFromSphericalCoords(distance, Math.PI / 2 - elevation, azimuth);
        this.controls.minDistance = 0.2 * distance;
        this.controls.maxDistance = 5 * distance;
        this.follow({ position, target: new THREE.Vector3() });
    }

    onKey(event) {
        const steps = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };
        if (!(event.key in steps)) return;
        event.preventDefault();
        const [across, upward] = steps[event.key].map((degrees) => degrees * Math.PI / 180);
        const offset = new THREE.Vector3().subVectors(this.camera.position, this.controls.target);
        const phi = this.controls.getPolarAngle() - upward;
        const theta = this.controls.getAzimuthalAngle() + across;
        offset.setFromSphericalCoords(offset.length(), Math.min(Math.max(phi, 1e-3), Math.PI - 1e-3), theta);
        this.camera.position.addVectors(this.controls.target, offset);
        this.controls.update();
    }

    /* Match the canvas' pixels to the screen's. */
    fit() {
        const scale = Math.min(window.devicePixelRatio, 2);
        this.canvas.width = Math.round(this.canvas.clientWidth * scale);
        this.canvas.height = Math.round(this.canvas.clientHeight * scale);
        this.camera.aspect = this.canvas.width / Math.max(this.canvas.height, 1);
        /* What fits into a square fits into a tall picture, too. */
        const half = Math.tan(HOME.fov * Math.PI / 360) / Math.min(this.camera.aspect, 1);
        this.camera.fov = 360 / Math.PI * Math.atan(half);
        this.camera.updateProjectionMatrix();
        /* At once: a canvas of a new size is empty. */
        this.studio.draw(this);
    }
}
