//! Recurrent cells and layers against the values and gradients that PyTorch computed;
//! `fixtures/recurrent.py` is how.

use std::path::PathBuf;

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, DType, Device, Result, Rng, reference::Reference};
use ferrotape_cpu::{Cpu, CpuOptions};
use ferrotape_gradcheck::fixtures::tolerance;
use ferrotape_nn::{
    CellConfig, Gru, GruCell, Init, Lstm, LstmCell, Module, Nonlinearity, Pass, Recurrent,
    RecurrentCell, RecurrentConfig, Rnn, RnnCell, StateDict,
};
use serde_json::Value;

/// A case, its tensors and where to compute it.
struct Case<'a> {
    value: &'a Value,
    tensors: &'a StateDict,
    device: &'a Device,
    dtype: DType,
}

impl Case<'_> {
    fn id(&self) -> &str {
        self.value["id"].as_str().unwrap()
    }

    fn names(&self, list: &str) -> Vec<&str> {
        self.value[list].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    }

    fn attribute(&self, name: &str) -> &Value {
        &self.value["attrs"][name]
    }

    fn size(&self, name: &str) -> usize {
        self.attribute(name).as_u64().unwrap() as usize
    }

    fn flag(&self, name: &str) -> bool {
        self.attribute(name).as_bool().unwrap()
    }

    fn array(&self, name: &str) -> Array {
        self.tensors.get(&format!("{}/{name}", self.id())).unwrap().cast(self.dtype).unwrap()
    }

    fn init(&self) -> Init {
        Init::new(self.device, Rng::new(1)).dtype(self.dtype)
    }

    fn nonlinearity(&self) -> Nonlinearity {
        match self.attribute("nonlinearity").as_str().unwrap() {
            "tanh" => Nonlinearity::Tanh,
            "relu" => Nonlinearity::Relu,
            other => panic!("{}: no nonlinearity {other}", self.id()),
        }
    }

    fn cell(&self) -> CellConfig {
        CellConfig::new(self.size("input_size"), self.size("hidden_size")).bias(self.flag("bias"))
    }

    fn config(&self) -> RecurrentConfig {
        RecurrentConfig::new(self.size("input_size"), self.size("hidden_size"))
            .num_layers(self.size("num_layers"))
            .bias(self.flag("bias"))
            .batch_first(self.flag("batch_first"))
            .bidirectional(self.flag("bidirectional"))
    }

    fn check(&self) {
        let init = self.init();
        match self.value["op"].as_str().unwrap() {
            "RNNCell" => self.step(&RnnCell::new(&init, self.cell(), self.nonlinearity()).unwrap()),
            "LSTMCell" => self.step(&LstmCell::new(&init, self.cell()).unwrap()),
            "GRUCell" => self.step(&GruCell::new(&init, self.cell()).unwrap()),
            "RNN" => self.run(&Rnn::new(&init, self.config(), self.nonlinearity()).unwrap()),
            "LSTM" => self.run(&Lstm::new(&init, self.config()).unwrap()),
            "GRU" => self.run(&Gru::new(&init, self.config()).unwrap()),
            other => panic!("{}: no layer {other}", self.id()),
        }
    }

    fn step<const STATES: usize>(&self, cell: &impl RecurrentCell<STATES>) {
        self.compare(cell, |cx, x, state| Ok(cell.step(cx, x, state)?.to_vec()));
    }

    fn run<C: RecurrentCell<STATES>, const STATES: usize>(&self, layer: &Recurrent<C, STATES>) {
        self.compare(layer, |cx, x, state| {
            let (y, last) = layer.run(cx, x, state)?;
            Ok([&[y], &last[..]].concat())
        });
    }

    /// Loads the parameters by PyTorch's names and compares all outputs and gradients.
    fn compare<const STATES: usize>(
        &self,
        layer: &impl Module,
        compute: impl Fn(&Pass, &Tensor, Option<&[Tensor; STATES]>) -> Result<Vec<Tensor>>,
    ) {
        let names = self.names("parameters");
        assert_eq!(layer.state_dict().unwrap().names().collect::<Vec<_>>(), names);
        let dict: StateDict =
            names.iter().map(|name| (*name, self.array(&format!("param/{name}")))).collect();
        layer.load_state_dict(&dict, true).unwrap();

        let cx = Pass::eval(self.device).with_grad();
        let variable = |name: &&str| cx.variable(self.array(&format!("in/{name}"))).unwrap();
        let inputs: Vec<Tensor> = self.names("inputs").iter().map(variable).collect();
        let state: Option<[Tensor; STATES]> = inputs[1..].to_vec().try_into().ok();
        assert_eq!(state.is_some(), inputs.len() > 1, "all states or none");
        let outputs = compute(&cx, &inputs[0], state.as_ref()).unwrap();
        assert_eq!(outputs.len(), self.value["outputs"].as_u64().unwrap() as usize);

        let mut loss: Option<Tensor> = None;
        for (k, output) in outputs.iter().enumerate() {
            self.assert_close(&format!("out/{k}"), output);
            let term = output.mul(&self.array(&format!("cot/{k}")).into()).unwrap();
            let term = term.sum_all().unwrap();
            loss = Some(loss.map_or(term.clone(), |loss| loss.add(&term).unwrap()));
        }
        let gradients = loss.unwrap().backward().unwrap();
        for (name, input) in self.names("inputs").iter().zip(&inputs) {
            self.assert_close(&format!("grad/{name}"), gradients.of(input).unwrap());
        }
        for (name, parameter) in layer.named_parameters() {
            self.assert_close(&format!("grad/{name}"), gradients.of(&parameter).unwrap());
        }
    }

    fn assert_close(&self, name: &str, found: &Array) {
        let whole = self.tensors.get(&format!("{}/{name}", self.id())).unwrap();
        assert_eq!(found.shape(), whole.shape(), "{}/{name}", self.id());
        let (found, expected) = (found.to_f64_vec().unwrap(), whole.to_f64_vec().unwrap());
        let largest = expected.iter().fold(0.01f64, |largest, v| largest.max(v.abs()));
        let tolerance = tolerance(self.dtype) * largest;
        for (f, e) in found.iter().zip(&expected) {
            assert!((f - e).abs() <= tolerance, "{}/{name}: {f} for {e}", self.id());
        }
    }
}

#[test]
fn cells_and_layers_agree_with_pytorch() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let listing = std::fs::read_to_string(folder.join("recurrent.json")).unwrap();
    let listing: Value = serde_json::from_str(&listing).unwrap();
    let cases = listing["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 44);
    let cpu = Cpu::new(CpuOptions { threads: Some(2), ..CpuOptions::default() }).unwrap();
    for device in [Device::new(Reference::new()), Device::new(cpu)] {
        let tensors = StateDict::load(&device, folder.join("recurrent.safetensors")).unwrap();
        for value in cases {
            for dtype in [DType::F64, DType::F32] {
                Case { value, tensors: &tensors, device: &device, dtype }.check();
            }
        }
    }
}
