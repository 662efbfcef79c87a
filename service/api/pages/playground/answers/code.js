// A request as code that repeats it: curl, Python with httpx, the OpenAI client. Strings in, strings out.
// The key is never written out: it is read from the environment variable API_KEY.

import { instructions } from "../ask/prompts.js";

/** A file name that needs no quoting anywhere. */
function fileName({ name, type }) {
  if (/^[A-Za-z0-9][\w.-]*$/.test(name)) return name;
  return `image.${(type.split("/")[1] ?? "jpg").replace("jpeg", "jpg").replace(/\W.*/, "")}`;
}

/** What names an image that is not a file here. */
const elsewhere = ({ id, address }) => id ?? address;

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const python = (text) => JSON.stringify(text); // what JSON writes for a string, Python reads as the same string

/** Code for curl; `server` is the address of the page's folder, `keyed` whether a key is sent. */
export function curl(request, server, keyed) {
  const { image } = request;
  const yours = elsewhere(image) ? "" : `# ${fileName(image)} is your image\n`;
  const first = image.sample ? `curl -sO ${shell(image.sample)}\n` : yours;
  const lines = [
    `curl -N ${shell(server + request.path)}`,
    ...(keyed ? [`-H "Authorization: Bearer $API_KEY"`] : []),
    elsewhere(image) ? `--form-string ${shell(`image_url=${elsewhere(image)}`)}` : `-F image=@${fileName(image)}`,
    ...request.fields.map(([name, value]) => `--form-string ${shell(`${name}=${value}`)}`),
  ];
  return first + lines.join(" \\\n  ");
}

/** Python's dictionary of the fields; a name that comes several times becomes a list. */
function pythonFields(fields) {
  const names = [...new Set(fields.map(([name]) => name))];
  const values = (name) => fields.filter(([each]) => each === name).map(([, value]) => python(value));
  const listed = (name) => values(name).length > 1 || ["questions", "choices"].includes(name);
  return names
    .map((name) => `    ${python(name)}: ${listed(name) ? `[${values(name).join(", ")}]` : values(name)[0]},\n`)
    .join("");
}

export function httpx(request, server, keyed) {
  const os = keyed ? "import os\n" : "";
  const headers = keyed ? `headers = {"Authorization": f"Bearer {os.environ['API_KEY']}"}\n` : "";
  return `import json
${os}
import httpx

${loadImage(request.image, "image = open(NAME, \"rb\")\n", "image = httpx.get(URL).content\n")}${headers}fields = {
${pythonFields(request.fields)}}
with httpx.stream(
    "POST", ${python(server + request.path)}, data=fields, files=${filesOf(request.image)},${keyed ? " headers=headers," : ""} timeout=300
) as response:
    if response.is_error:
        raise SystemExit(response.read().decode())
    for line in response.iter_lines():
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            print(event.get("chunk", event), end="", flush=True)
print()
`;
}

const filesOf = (image) => (elsewhere(image) ? `{"image_url": (None, ${python(elsewhere(image))})}` : `{"image": image}`);

function loadImage(image, open, fetch) {
  if (elsewhere(image)) return "";
  return image.sample ? fetch.replace("URL", python(image.sample)) : open.replace("NAME", python(fileName(image)));
}

export function openai(request, server, keyed) {
  const read = loadImage(request.image, "image = open(NAME, \"rb\").read()\n", "image = urllib.request.urlopen(URL).read()\n");
  const key = keyed ? `os.environ["API_KEY"]` : `"none"`;
  const inline = `f"data:${request.image.type || "image/jpeg"};base64,{base64.b64encode(image).decode()}"`;
  const url = elsewhere(request.image) ? python(elsewhere(request.image)) : inline;
  const settings = JSON.parse(request.settings.replace(/("seed": )(\d+)/, '$1"$2"'));
  const extra = Object.entries(settings).map(([name, value]) => `, ${name}=${name === "seed" ? value : JSON.stringify(value)}`);
  const modules = [...(read ? ["import base64"] : []), ...(keyed ? ["import os"] : []), ...(request.image.sample ? ["import urllib.request"] : [])];
  return `${modules.map((line) => `${line}\n`).join("")}${modules.length ? "\n" : ""}from openai import OpenAI

client = OpenAI(base_url=${python(`${server}v1`)}, api_key=${key})
model = client.models.list().data[0].id
${read}picture = {"url": ${url}}
for text in [
${instructions(request).map((text) => `    ${python(text)},\n`).join("")}]:
    content = [{"type": "image_url", "image_url": picture}, {"type": "text", "text": text}]
    messages = [{"role": "user", "content": content}]
    for event in client.chat.completions.create(model=model, messages=messages, stream=True${extra.join("")}):
        print(event.choices[0].delta.content or "" if event.choices else "", end="", flush=True)
    print()
`;
}
