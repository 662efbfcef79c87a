"""Naive twin: the plain algorithm, built from the modules of transformers and peft, slow and clear like the original.

CLIP and Phi are transformers' own, the adapters are peft's, and every decoded token projects the keys and values of
all image tokens anew, as the original does (arXiv 2501.02584, section 2.2). It shares no code with the fast path: it is
the oracle of the tests, the baseline of the benchmarks, and the module whose parameters training trains. One thread at
a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, DynamicCache, PhiConfig, PhiForCausalLM

from model.config import CROSS_HEAD_WIDTH, TILE_POSITIONS, PheyeConfig
from model.pixels.tiles import CLIP_MEAN, CLIP_STD

# transformers 5.24 gave the argument its second name, and warns at the first.
_CACHE = "cache" if "cache" in signature(PhiForCausalLM.forward).parameters else "past_key_values"
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding"]


class NaiveAttention(nn.Module):
    """Cross-attention from text to image tokens."""

    def __init__(self, config: PheyeConfig) -> None:
        super().__init__()
        width, inner = config.decoder.width, config.inner_width
        self.heads = config.cross_heads
        self.norm = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner)
        self.to_kv = nn.Linear(config.vision.width, 2 * inner)
        self.to_out = nn.Linear(inner, width)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """Attend from text [B, T, D] to image tokens [B, V, D_vit] -> [B, T, D]."""
        q = self.to_q(self.norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.to_kv(features).chunk(2, dim=-1))
        weights = (q @ k.transpose(-1, -2) * CROSS_HEAD_WIDTH**-0.5).softmax(dim=-1)  # [B, H, T, V]
        mixed: Tensor = self.to_out((weights @ v).transpose(1, 2).flatten(2))
        return mixed


class NaiveFeedForward(nn.Module):
    """Feed-forward half of the cross-attention block."""

    def __init__(self, config: PheyeConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.decoder.width)
        self.fc1 = nn.Linear(config.decoder.width, config.cross_mlp_width)
        self.fc2 = nn.Linear(config.cross_mlp_width, config.decoder.width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the feed-forward half [B, T, D] -> [B, T, D]."""
        out: Tensor = self.fc2(nn.functional.gelu(self.fc1(self.norm(x))))
        return out


class NaiveCrossAttention(nn.Module):
    """Dense cross-attention block (arXiv 2501.02584, figure 2)."""

    def __init__(self, config: PheyeConfig) -> None:
        super().__init__()
        self.attn = NaiveAttention(config)
        self.ff = NaiveFeedForward(config)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """Add image information from [B, V, D_vit] to text [B, T, D] -> [B, T, D]."""
        x = x + self.attn(x, features)
        out: Tensor = x + self.ff(x)
        return out


class NaiveLayer(nn.Module):
    """Decoder layer, with or without a cross-attention block in front of it."""

    def __init__(self, decoder_layer: nn.Module, cross_attn_layer: nn.Module | None) -> None:
        super().__init__()
        self.decoder_layer = decoder_layer
        self.cross_attn_layer = cross_attn_layer

    def forward(self, hidden_states: Tensor, *, image_features: Tensor, **kwargs: Any) -> Tensor:
        """Run the layer; features travel as an argument, so nothing is parked on the layers between calls."""
        if self.cross_attn_layer is not None:
            hidden_states = self.cross_attn_layer(hidden_states, image_features)
        out: Tensor = self.decoder_layer(hidden_states, **kwargs)
        return out


class NaiveVision(nn.Module):
    """CLIP with two LoRA adapters from peft, level norms and tile positions."""

    def __init__(self, config: PheyeConfig, ranks: Mapping[str, int]) -> None:
        super().__init__()
        self.first_level = config.first_level
        # Plain adapters: peft warns that ranks differ between the two, which is the published design.
        second, first = (
            LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=LORA_TARGETS)
            for rank in (ranks["second"], ranks.get("first", 1))
        )
        self.vision_model = PeftModel(CLIPVisionModel(clip_config(config)), second, adapter_name="second")
        if config.first_level:
            self.vision_model.add_adapter("first", first)
        width = config.vision.width
        self.norm_lvl_1, self.norm_lvl_2, self.norm_lvl_3 = (nn.LayerNorm(width) for _ in range(3))
        self.connector = nn.ModuleDict({"embedding": nn.Embedding(TILE_POSITIONS, width)})

    def pixels(self, tiles: Tensor) -> Tensor:
        """Normalise tiles in any integer type [..., S, S, 3] as CLIP does -> [..., 3, S, S]."""
        weight = self.norm_lvl_1.weight
        mean, std = (torch.tensor(constant, device=weight.device) for constant in (CLIP_MEAN, CLIP_STD))
        return ((tiles.to(weight.device) / 255 - mean) / std).movedim(-1, -3).to(weight.dtype)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalised pixels of images [B, N, 3, S, S] to features [B, N * tokens, D_vit]."""
        batch, tiles = pixels.shape[:2]
        views = [self.norm_lvl_1(self._global(pixels[:, 0])).unsqueeze(1)]
        self.vision_model.set_adapter("second")
        local = self.vision_model(pixel_values=pixels[:, 1:].flatten(0, 1)).last_hidden_state
        views.append(self.norm_lvl_2(local).unflatten(0, (batch, tiles - 1)))
        positions = self.connector["embedding"](torch.arange(tiles, device=pixels.device))
        features: Tensor = (torch.cat(views, dim=1) + positions[None, :, None]).flatten(1, 2)
        return features

    def _global(self, view: Tensor) -> Tensor:
        if self.first_level:
            self.vision_model.set_adapter("first")
            return self.vision_model(pixel_values=view).last_hidden_state  # type: ignore[no-any-return]
        with self.vision_model.disable_adapter():
            return self.vision_model(pixel_values=view).last_hidden_state  # type: ignore[no-any-return]


class NaivePheye(nn.Module):
    """Pheye as one plain torch module; its parameter names are the canonical names of a checkpoint."""

    def __init__(self, config: PheyeConfig, ranks: Mapping[str, int]) -> None:
        super().__init__()
        self.config = config
        self.vision_encoder = NaiveVision(config, ranks)
        self.lang_encoder = PhiForCausalLM(phi_config(config))
        layers = self.lang_encoder.model.layers
        for index in range(len(layers)):
            cross = NaiveCrossAttention(config) if index in config.cross_layers else None
            layers[index] = NaiveLayer(layers[index], cross)

    def forward(self, input_ids: Tensor, features: Tensor, cache: DynamicCache | None = None) -> Tensor:
        """Compute logits [B, T, vocab] of token ids [B, T] after those in the KV cache; features [B, V, D_vit]."""
        kept = {"use_cache": False} if cache is None else {_CACHE: cache, "use_cache": True}
        return self.lang_encoder(input_ids, image_features=features, **kept).logits  # type: ignore[no-any-return]

    @torch.inference_mode()
    def generate(self, prompt: Sequence[int], features: Tensor, max_tokens: int, eos: int | None) -> list[int]:
        """Decode greedily from one prompt about one image, eos included; features [1, V, D_vit]."""
        cache = DynamicCache(config=self.lang_encoder.config)
        tokens: list[int] = []
        ids = torch.tensor([list(prompt)], device=features.device)
        while len(tokens) < max_tokens:
            logits = self(ids, features, cache)[0, -1]
            tokens.append(int(logits.argmax()))
            if tokens[-1] == eos:
                break
            ids = torch.tensor([[tokens[-1]]], device=features.device)
        return tokens


def clip_config(config: PheyeConfig) -> CLIPVisionConfig:
    """Return the vision tower's configuration, as transformers has it."""
    v = config.vision
    return CLIPVisionConfig(
        hidden_size=v.width,
        intermediate_size=v.mlp_width,
        num_hidden_layers=v.layers,
        num_attention_heads=v.heads,
        image_size=v.tile_px,
        patch_size=v.patch_px,
        hidden_act=v.activation,
        layer_norm_eps=v.eps,
    )


def phi_config(config: PheyeConfig) -> PhiConfig:
    """Return the language model's configuration, as transformers has it."""
    d = config.decoder
    return PhiConfig(
        vocab_size=d.vocab_size,
        hidden_size=d.width,
        intermediate_size=d.mlp_width,
        num_hidden_layers=d.layers,
        num_attention_heads=d.heads,
        hidden_act=d.activation,
        max_position_embeddings=d.max_positions,
        layer_norm_eps=d.eps,
        rope_theta=d.rope_theta,
        partial_rotary_factor=d.rotary_width / d.head_width,
        bos_token_id=None,
        eos_token_id=None,
    )
